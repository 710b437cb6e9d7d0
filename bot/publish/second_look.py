"""Changed files that deserve a second look: allowed to leave, and listed first in the pull request."""

import re
from collections.abc import Iterator

from bot.domain.job import Change, FileStat, Patch
from bot.intake.patterns import Patterns
from bot.publish.paths import visible

_BINARY_PROBE_BYTES = 8000  # as far as git itself looks for a NUL
_WINDOWS_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_WINDOWS_REFUSED = re.compile(r'[<>:"|?*]|[. ]$')

# Kind of file -> patterns as in a .gitignore file, compared without regard to case. The first kind that fits is told.
_KINDS = (
    ("the bot's own configuration", ".github/backspace.yml .github/backspace.yaml"),
    (
        "instructions that agents obey",
        """AGENTS.md AGENT.md CLAUDE.md CLAUDE.local.md GEMINI.md .cursorrules .windsurfrules .clinerules .cursor/
        .claude/ .agents/ .codex/ .github/copilot-instructions.md .github/instructions/ .github/prompts/
        .github/agents/ .mcp.json mcp.json""",
    ),
    (
        "runs in continuous integration",
        """.gitlab-ci.yml .circleci/ .travis.yml Jenkinsfile azure-pipelines.yml .azure-pipelines/ .buildkite/
        .drone.yml .woodpecker.yml .woodpecker/ appveyor.yml .appveyor.yml bitbucket-pipelines.yml cloudbuild.yaml
        buildspec.yml .semaphore/ .tekton/ action.yml action.yaml .github/dependabot.yml renovate.json
        .pre-commit-config.yaml .ci/ .husky/ lefthook.yml netlify.toml vercel.json""",
    ),
    (
        "a lock file",
        """package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb poetry.lock uv.lock
        Pipfile.lock pdm.lock requirements*.txt requirements.lock Cargo.lock go.sum Gemfile.lock composer.lock
        mix.lock pubspec.lock Podfile.lock packages.lock.json flake.lock gradle.lockfile deno.lock""",
    ),
    (
        "runs when the project is installed, built or tested",
        """package.json .npmrc .yarnrc .yarnrc.yml .pnpmfile.cjs setup.py setup.cfg pyproject.toml conftest.py
        sitecustomize.py *.pth tox.ini noxfile.py Makefile makefile GNUmakefile justfile Rakefile Gemfile *.gemspec
        build.rs Cargo.toml .cargo/ go.mod build.gradle build.gradle.kts settings.gradle* gradlew gradlew.bat
        gradle-wrapper.* pom.xml .mvn/ CMakeLists.txt configure meson.build BUILD BUILD.bazel WORKSPACE *.csproj
        Directory.Build.* composer.json deno.json .envrc .vscode/ .idea/ .devcontainer/""",
    ),
    (
        "builds an image or runs one",
        """Dockerfile Dockerfile.* *.Dockerfile Containerfile .dockerignore docker-compose*.yml docker-compose*.yaml
        compose.yml compose.yaml""",
    ),
    ("changes how git treats files", ".gitattributes .lfsconfig .gitconfig .mailmap"),
)
_SPECS = tuple((kind, Patterns(patterns.lower().split())) for kind, patterns in _KINDS)


def worth_a_second_look(patch: Patch) -> tuple[str, ...]:
    """A line for each file a reviewer should open first: its path, a colon and why."""
    stats = {stat.path: stat for stat in patch.stats}
    lines = []
    for change in patch.changes:
        reasons = tuple(_reasons(change, stats.get(change.path)))
        if reasons:
            lines.append(f"{visible(change.path)}: {', '.join(reasons)}")
    return tuple(lines)


def _reasons(change: Change, stat: FileStat | None) -> Iterator[str]:
    kind = next((kind for kind, spec in _SPECS if spec.among([change.path.lower()])), None)
    if kind:
        yield kind
    if change.mode is None:
        return
    if change.mode == "120000":
        yield "a symbolic link"
    elif _is_binary(change, stat):
        yield "a binary file"
    if change.was_mode not in (None, change.mode):
        yield f"its mode changes from {change.was_mode} to {change.mode}"
    elif change.was_mode is None and change.mode == "100755":
        yield "a new executable"
    if any(_WINDOWS_RESERVED.fullmatch(part) or _WINDOWS_REFUSED.search(part) for part in change.path.split("/")):
        yield "a name that Windows cannot hold"


def _is_binary(change: Change, stat: FileStat | None) -> bool:
    if stat is not None and stat.additions is None:
        return True
    return b"\0" in (change.content or b"")[:_BINARY_PROBE_BYTES]
