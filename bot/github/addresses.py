"""Where GitHub is for git and for browsers, given where its API is."""

from urllib.parse import urlsplit, urlunsplit


def git_url(api_url: str) -> str:
    """github.com, an Enterprise Server without /api/v3, or SUBDOMAIN.ghe.com; no slash at the end."""
    url = urlsplit(api_url)
    is_cloud = url.netloc == "api.github.com" or url.netloc.endswith(".ghe.com")
    host = url.netloc.removeprefix("api.") if is_cloud else url.netloc
    return urlunsplit((url.scheme, host, url.path.rstrip("/").removesuffix("/api/v3"), "", "")).rstrip("/")
