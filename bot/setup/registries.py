"""The public package registries that a setup phase may reach, by the names they document."""

REGISTRIES: tuple[str, ...] = (
    # Python
    "pypi.org",
    "files.pythonhosted.org",
    "conda.anaconda.org",
    "repo.anaconda.com",
    # JavaScript
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "repo.yarnpkg.com",
    "nodejs.org",
    "jsr.io",
    "npm.jsr.io",
    # Go
    "proxy.golang.org",
    "sum.golang.org",
    # Rust
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "static.rust-lang.org",
    # Ruby
    "rubygems.org",
    "*.rubygems.org",
    # Java
    "repo.maven.apache.org",
    "repo1.maven.org",
    "plugins.gradle.org",
    "plugins-artifacts.gradle.org",
    "services.gradle.org",
    "downloads.gradle.org",
    # .NET
    "api.nuget.org",
    "globalcdn.nuget.org",
    # PHP
    "packagist.org",
    "repo.packagist.org",
    # Erlang and Elixir
    "hex.pm",
    "repo.hex.pm",
    "builds.hex.pm",
    # Debian, Ubuntu, Alpine
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "*.archive.ubuntu.com",
    "security.ubuntu.com",
    "ports.ubuntu.com",
    "dl-cdn.alpinelinux.org",
)
