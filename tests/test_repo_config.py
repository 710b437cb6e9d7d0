"""`.github/backspace.yml`: what it may say, and the sentence for each way it can be wrong."""

import re
from pathlib import Path

import pytest

from bot.domain.errors import UserError
from bot.repo_config import Budget, BudgetWish, PathsWish, RepoConfig, lowered, repo_config


def test_no_file_and_an_empty_file_mean_the_defaults() -> None:
    for content in (None, b"", b"# nothing yet\n", b"null\n"):
        assert repo_config(content) == RepoConfig()
    assert RepoConfig().reviewers == ("requester",)


def test_every_key_that_is_built_is_read() -> None:
    content = b"""\xef\xbb\xbf
model: [claude-a, claude-b]
budget: {usd: 3.00, turns: 60, minutes: 30}
test: uv run pytest -q
paths: {deny: [infra/**], max_files: 50, max_lines: 2000}
context_authors: everyone
draft: true
ci: hold
reviewers: [requester, alice]
instructions: docs/AGENT.md
image: go
"""
    assert repo_config(content) == RepoConfig(
        model=("claude-a", "claude-b"),
        budget=BudgetWish(usd=3.0, turns=60, minutes=30),
        test="uv run pytest -q",
        paths=PathsWish(deny=("infra/**",), max_files=50, max_lines=2000),
        context_authors="everyone",
        draft=True,
        ci="hold",
        reviewers=("requester", "alice"),
        instructions="docs/AGENT.md",
        image="go",
    )


def test_the_documented_examples_are_read_and_the_long_one_names_every_key() -> None:
    root = Path(__file__).parent.parent
    short, whole = (
        re.search(rb"`\.github/backspace\.yml` on .*?```yaml\n(.*?)```", (root / page).read_bytes(), re.DOTALL)
        for page in ("README.md", "docs/repository.md")
    )
    assert short
    assert repo_config(short[1]).model_fields_set == {"budget", "test", "setup"}
    assert whole
    assert repo_config(whole[1]).model_fields_set == set(RepoConfig.model_fields)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UserError) as refused:
        repo_config(b"labels: [x]\nbudgte: 3\nbudget: {usd: -1}\ntest: 7\n")
    assert str(refused.value) == (
        "`labels` in `.github/backspace.yml` is not supported yet: remove it. "
        "`budget.usd` in `.github/backspace.yml` is wrong: input should be greater than 0. "
        "`test` in `.github/backspace.yml` is wrong: input should be a valid string. "
        "Unknown key `budgte` in `.github/backspace.yml`: did you mean `budget`?"
    )
    with pytest.raises(UserError, match=r"There are 5 more\.$"):
        repo_config("".join(f"key{number}: 1\n" for number in range(15)).encode())


def test_one_word_will_do_for_a_list_of_one() -> None:
    config = repo_config(b"model: claude-a\npaths: {deny: infra/}\nreviewers: []\n")
    assert (config.model, config.paths.deny, config.reviewers) == (("claude-a",), ("infra/",), ())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"modle: x", "Unknown key `modle` in {}: did you mean `model`?", id="near-miss"),
        pytest.param(b"budget: {usdd: 3}", "Unknown key `budget.usdd` in {}: did you mean `usd`?", id="nested"),
        pytest.param(
            b"paths: {zzz: 3}",
            "Unknown key `paths.zzz` in {}: did you mean `deny` or `max_files` or `max_lines`?",
            id="no-near-miss",
        ),
        pytest.param(b"a`b@c\xe2\x80\xae: 1", None, id="hostile-key"),
        pytest.param(b"labels: [x]", "`labels` in {} is not supported yet: remove it.", id="labels"),
        pytest.param(b"setup: {}", None, id="setup-map"),
        pytest.param(
            b"network: [https://index.example]",
            "`network` in {} is wrong: should be a host name such as packages.example.org, or *.example.org for its "
            "subdomains.",
            id="network-address",
        ),
        pytest.param(
            b"network: '*.com'",
            "`network` in {} is wrong: should name more than a top-level domain after `*.`.",
            id="com",
        ),
        pytest.param(b"fix_ci: false", "`fix_ci` in {} is not supported yet: remove it.", id="fix-ci"),
        pytest.param(
            b"budget: {usd_per_day: 0}",
            "`budget.usd_per_day` in {} is wrong: input should be greater than 0.",
            id="nothing-per-day",
        ),
        pytest.param(b"draft: 1", "`draft` in {} is wrong: input should be a valid boolean.", id="not-a-boolean"),
        pytest.param(b"ci: never", "`ci` in {} is wrong: input should be 'auto', 'hold' or 'run'.", id="not-a-choice"),
        pytest.param(b"budget: 3", "`budget` in {} is wrong: it should hold `key: value` lines.", id="not-a-section"),
        pytest.param(
            b"budget: {usd: 0}", "`budget.usd` in {} is wrong: input should be greater than 0.", id="no-dollars"
        ),
        pytest.param(
            b"budget: {usd: .inf}", "`budget.usd` in {} is wrong: input should be a finite number.", id="infinite"
        ),
        pytest.param(
            b"budget: {turns: true}", "`budget.turns` in {} is wrong: input should be a valid integer.", id="yes-turns"
        ),
        pytest.param(
            b"instructions: ../secret",
            "`instructions` in {} is wrong: should be a path inside the repository, such as docs/AGENT.md.",
            id="path-outside",
        ),
        pytest.param(b"1: 2", "`1` in {} is wrong: keys should be strings.", id="number-as-key"),
        pytest.param(b"just words", "{} should hold `key: value` lines at its top.", id="words"),
        pytest.param(b"- a", "{} should hold `key: value` lines at its top.", id="list"),
        pytest.param(b"\xff", "{} is not UTF-8 text: save it as UTF-8.", id="not-utf8"),
        pytest.param(b"x" * 64_001, "{} has 64001 bytes, more than the 64000 it may have: shorten it.", id="too-large"),
        pytest.param(b"draft: true\ndraft: no", "{} is not valid in line 2: `draft` is there twice.", id="twice"),
        pytest.param(b"? [a]\n: 1", "{} is not valid in line 1: a key should be one word.", id="list-as-key"),
        pytest.param(
            b"a: &a [1]\nb: *a", "{} is not valid in line 2: aliases (`*name`) are not read.", id="alias-bomb"
        ),
        pytest.param(b"&a [*a]", "{} is not valid in line 1: aliases (`*name`) are not read.", id="alias-to-itself"),
        pytest.param(b"a: " + b"[" * 30_000, "{} is not valid in line 1: it is nested too deeply.", id="deep"),
        pytest.param(b"a: {" * 30, "{} is not valid in line 1: it is nested too deeply.", id="deep-maps"),
        pytest.param(
            b"test: !!python/object/apply:os.system ['x']",
            "{} is not valid YAML in line 1: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system'.",
            id="python-object",
        ),
        pytest.param(b"draft: 1\ntest: [", None, id="unfinished"),
        pytest.param(b"a: \x07", "{} is not valid YAML: it holds characters YAML does not allow.", id="control"),
        pytest.param(
            b"budget: {turns: " + b"9" * 5000 + b"}",
            "{} holds a value that cannot be read: use plain text and short numbers.",
            id="integer-of-5000-digits",
        ),
        pytest.param(
            b"test: 2020-99-99",
            "{} holds a value that cannot be read: use plain text and short numbers.",
            id="impossible-date",
        ),
        pytest.param(b"a: 1\n---\nb: 2", "{} is not valid YAML in line 2: but found another document.", id="two"),
    ],
)
def test_each_mistake_gets_one_sentence(content: bytes, sentence: str | None) -> None:
    with pytest.raises(UserError) as caught:
        repo_config(content)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 300
    if sentence is not None:
        assert said == sentence.format("`.github/backspace.yml`")


def test_setup_commands_and_hosts_are_read() -> None:
    config = repo_config(b"setup: make deps\nnetwork: ['*.Index.example', files.example.]\nsetup_required: true\n")
    assert (config.setup, config.setup_required) == (("make deps",), True)
    assert config.network == ("*.index.example", "files.example")
    assert repo_config(b"setup: none").setup == ("none",)
    assert repo_config(b"draft: true").setup is None


def test_a_repository_lowers_the_operators_budget_and_never_raises_it() -> None:
    operator = Budget(usd=3.0, turns=60, minutes=30)
    assert lowered(operator, BudgetWish()) == operator
    assert lowered(operator, BudgetWish(usd=1, turns=10, minutes=5)) == Budget(usd=1, turns=10, minutes=5)
    assert lowered(operator, BudgetWish(usd=300, turns=6000, minutes=3000)) == operator
