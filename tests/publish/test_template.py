"""Where a repository keeps its pull request template."""

import pytest

from bot.publish.template import template_path


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(("README.md",), None, id="none"),
        pytest.param((".github/pull_request_template.md",), ".github/pull_request_template.md", id="hidden-folder"),
        pytest.param(("PULL_REQUEST_TEMPLATE.md",), "PULL_REQUEST_TEMPLATE.md", id="capitals-at-the-top"),
        pytest.param(("docs/Pull_Request_Template.txt",), "docs/Pull_Request_Template.txt", id="text-in-docs"),
        pytest.param(
            ("docs/pull_request_template.md", "pull_request_template.md", ".github/PULL_REQUEST_TEMPLATE.md"),
            ".github/PULL_REQUEST_TEMPLATE.md",
            id="order",
        ),
        pytest.param((".github/PULL_REQUEST_TEMPLATE/bug.md",), None, id="folder-of-several"),
        pytest.param(("src/pull_request_template.md",), None, id="elsewhere"),
    ],
)
def test_the_template_is_where_github_looks_for_it(paths: tuple[str, ...], expected: str | None) -> None:
    assert template_path(paths) == expected
