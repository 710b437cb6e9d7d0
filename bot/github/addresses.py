"""Where GitHub is for git, for browsers and for GraphQL, given where its API is."""

from urllib.parse import urlsplit, urlunsplit

from bot.github.calls import GRAPHQL


def git_url(api_url: str) -> str:
    """github.com, an Enterprise Server without /api/v3, or SUBDOMAIN.ghe.com; no slash at the end."""
    url = urlsplit(api_url)
    is_cloud = url.netloc == "api.github.com" or url.netloc.endswith(".ghe.com")
    host = url.netloc.removeprefix("api.") if is_cloud else url.netloc
    return urlunsplit((url.scheme, host, url.path.rstrip("/").removesuffix("/api/v3"), "", "")).rstrip("/")


def graphql_url(api_url: str) -> str:
    """Beside the REST API's version on an Enterprise Server, below its address everywhere else."""
    url = api_url.rstrip("/")
    return f"{url.removesuffix('/v3') if url.endswith('/api/v3') else url}{GRAPHQL}"
