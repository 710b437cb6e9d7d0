"""The operator's settings for sandboxes: which provider, and what each needs to know."""

from urllib.parse import urlsplit

from bot.settings.values import Setting, api_key, one_of, path, paths, text, url, whole

DOCKER_SOCKET = "unix:///var/run/docker.sock"
DAYTONA = "https://app.daytona.io/api"


def docker_host(raw: str) -> str:
    """As Docker's own client has it; what is reached by SSH or with certificates is not."""
    parts = urlsplit(raw)
    if parts.scheme == "unix" and parts.path:
        return raw
    if parts.scheme == "tcp" and parts.hostname:
        return raw
    if parts.scheme == "ssh":
        raise ValueError(
            "goes by SSH: forward the socket (ssh -L /run/engine.sock:/var/run/docker.sock) and name that."
        )
    raise ValueError(f"should be unix:///PATH or tcp://HOST:PORT, such as {DOCKER_SOCKET}.")


SANDBOX_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "SANDBOX",
        "sandbox",
        "auto",
        "`e2b`, `daytona`, `modal`, `docker`, `bubblewrap`, or `auto`: Modal with its token, else Docker "
        "where it works, else bubblewrap",
        one_of("auto", "modal", "docker", "bubblewrap", "e2b", "daytona"),
    ),
    Setting(
        "SANDBOX_MEMORY_GB",
        "sandbox_memory_gb",
        "4",
        "GiB of memory that the processes of one sandbox may take",
        whole(1, 1_000),
    ),
    Setting(
        "SANDBOX_DISK_GB",
        "sandbox_disk_gb",
        "7",
        "and its files, which lie in memory too; for Docker and bubblewrap",
        whole(1, 1_000),
    ),
    Setting(
        "SANDBOX_READONLY_PATHS",
        "sandbox_readonly_paths",
        "",
        "Toolchains outside /usr the sandbox may read, colon-separated; for bubblewrap",
        paths,
    ),
    Setting(
        "SANDBOX_ROOTFS",
        "sandbox_rootfs",
        "",
        "Unpacked images (`backspace images unpack`) that bubblewrap uses in place of this machine's /usr",
        path,
    ),
    Setting(
        "DOCKER_HOST",
        "docker_host",
        DOCKER_SOCKET,
        "Where the Docker engine is: unix:///PATH or tcp://HOST:PORT",
        docker_host,
    ),
    Setting(
        "DOCKER_IMAGE",
        "docker_image",
        "",
        "One image of your own for all jobs, with python3, git and tar; default: those of `backspace images build`",
        text,
    ),
    Setting("MODAL_TOKEN_ID", "modal_token_id", "", "Modal's token, as `modal token new` makes it", api_key),
    Setting("MODAL_TOKEN_SECRET", "modal_token_secret", "", "and its secret", api_key),
    Setting("E2B_API_KEY", "e2b_api_key", "", "E2B's key, for `SANDBOX=e2b`", api_key),
    Setting("E2B_TEMPLATE", "e2b_template", "base", "The E2B template of all jobs, with python3, git and tar", text),
    Setting("DAYTONA_API_KEY", "daytona_api_key", "", "Daytona's key, for `SANDBOX=daytona`", api_key),
    Setting("DAYTONA_API_URL", "daytona_api_url", DAYTONA, "Where Daytona is; another when you host it", url),
    Setting(
        "DAYTONA_SNAPSHOT",
        "daytona_snapshot",
        "",
        "The Daytona snapshot of all jobs, with python3, git and tar; default: Daytona's own",
        text,
    ),
)
