"""What may leave the sandbox: every disguise of a forbidden path, every bad name, link, size and collision."""

from typing import cast

import pytest

from bot.domain.job import Change, FileStat, Mode, Patch
from bot.publish.policy import PathRules, problems

RULES = PathRules()


def added(path: str, content: bytes = b"x\n", mode: Mode = "100644") -> Change:
    return Change(path, mode, content)


def link(path: str, target: bytes | str) -> Change:
    return Change(path, "120000", target.encode() if isinstance(target, str) else target)


def edited(path: str, was: str = "100644") -> Change:
    return Change(path, "100644", b"y\n", was)


def deleted(path: str, was: str = "100644") -> Change:
    return Change(path, None, None, was)


def patch(*changes: Change, lines: int = 1) -> Patch:
    stats = tuple(FileStat(change.path, lines, 0) for change in changes)
    return Patch(base_sha="b" * 40, tree_sha="t" * 40, changes=changes, stats=stats, diff="", diff_id="d")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(added("src/app.py"), id="plain"),
        pytest.param(added("run.sh", mode="100755"), id="executable"),
        pytest.param(deleted("old.txt"), id="deletion"),
        pytest.param(edited("README.md"), id="edit"),
        pytest.param(link("latest", "releases/1.0"), id="link-down"),
        pytest.param(link("a/b/latest", "../../releases/1.0"), id="link-up-to-the-root"),
        pytest.param(link("a/broken", "not-there"), id="dangling-link"),
        pytest.param(added(".gitignore"), id="gitignore"),
        pytest.param(added(".gitattributes"), id="gitattributes"),
        pytest.param(added(".github/backspace.yml"), id="own-configuration"),
        pytest.param(added(".github/ISSUE_TEMPLATE/bug.md"), id="issue-template"),
        pytest.param(added("src/.github/workflows/x.yml"), id="workflow-elsewhere-is-a-plain-file"),
        pytest.param(added("src/CODEOWNERS"), id="codeowners-elsewhere-is-a-plain-file"),
        pytest.param(added("digit.py"), id="name-that-ends-like-git"),
        pytest.param(added(".gitlab-ci.yml"), id="gitlab"),
        pytest.param(added("docs/日本語.md"), id="japanese"),
        pytest.param(added("docs/naïve café.md"), id="accents-and-a-space"),
        pytest.param(added("--option.txt"), id="leading-dashes"),
        pytest.param(added("-rf"), id="looks-like-an-option"),
        pytest.param(added("$(touch x).txt"), id="looks-like-shell"),
        pytest.param(added("a'b\"c.txt"), id="quotes"),
        pytest.param(added("⚙️.md"), id="emoji"),
        pytest.param(edited("odd\u200bname"), id="odd-name-that-was-there"),
        pytest.param(deleted("odd\u200bname"), id="odd-name-that-goes"),
    ],
)
def test_ordinary_changes_may_leave(change: Change) -> None:
    assert problems(patch(change), RULES) == ()


def test_a_git_lfs_pointer_is_left_as_it_was() -> None:
    spoiled = Change("logo.psd", "100644", b"x", "100644", was_pointer=True)
    assert problems(patch(spoiled), RULES) == (
        "`logo.psd` is a Git LFS pointer, whose content is not here: leave it as it was.",
    )


PROTECTED = [
    ".git/config",
    ".git",
    "sub/.git/hooks/pre-commit",
    ".GIT/config",
    ".Git/hooks/post-checkout",
    ".git./config",
    ".git /config",
    ".git. . /config",
    ".git::$INDEX_ALLOCATION/config",
    ".git:stream",
    "git~1/config",
    "GIT~1/config",
    "git~2/config",
    ".g\u200cit/config",
    ".gi\u200dt/config",
    "\ufeff.git/config",
    ".git\u200e/config",
    ".gi\u202et/config",
    ".gi\u206ft/config",
    ".\uff47it/config",
    "\uff0egit/config",
    ".git\\config",
    "sub\\.git\\config",
    "a\\..\\.git/config",
    ".gitmodules",
    ".GitModules",
    "sub/.gitmodules",
    ".gitmodules.",
    "gitmod~1",
    "GITMOD~1",
    "gi7eba~1",
    ".gitmodules:x",
    ".github/workflows/ci.yml",
    ".github/workflows",
    ".github/Workflows/ci.yml",
    ".GitHub/WORKFLOWS/ci.yml",
    ".github/workflows./ci.yml",
    ".github./workflows/ci.yml",
    ".github\\workflows\\ci.yml",
    ".github/work\u200cflows/ci.yml",
    ".github/actions/setup/action.yml",
    ".github/Actions/setup/action.yml",
    ".github",
    "CODEOWNERS",
    ".github/CODEOWNERS",
    "docs/CODEOWNERS",
    "codeowners",
    ".github/CodeOwners",
    "Docs/codeowners",
    "CODEOWNERS.",
    "CODEOWNER\u017f",
]


@pytest.mark.parametrize("path", [pytest.param(path, id=ascii(path)) for path in PROTECTED])
@pytest.mark.parametrize(
    "kind", [added, edited, deleted, lambda path: link(path, "x")], ids=["add", "edit", "drop", "link"]
)
def test_power_over_git_ci_and_reviews_never_leaves(path: str, kind: object) -> None:
    """S22. Red when `_protected` yields nothing (tried)."""
    assert callable(kind)
    found = problems(patch(kind(path)), RULES)
    assert any(word in line for line in found for word in ("git's own", ".gitmodules", "Actions", "CODEOWNERS"))


BAD_NAMES = {
    "newline": "a\nb",
    "carriage-return": "a\rb",
    "tab": "a\tb",
    "escape": "a\x1b[31mb",
    "nul": "a\x00b",
    "bell": "\x07",
    "delete": "a\x7f",
    "c1-control": "a\x85b",
    "csi": "a\x9bb",
    "bidi-override": "txt\u202egpj.exe",
    "bidi-embedding": "a\u202ab",
    "bidi-isolate": "a\u2066b",
    "pop-isolate": "a\u2069b",
    "left-to-right-mark": "a\u200eb",
    "right-to-left-mark": "a\u200fb",
    "arabic-letter-mark": "a\u061cb",
    "zero-width-space": "a\u200bb",
    "zero-width-joiner": "a\u200db",
    "word-joiner": "a\u2060b",
    "byte-order-mark": "a\ufeffb",
    "soft-hyphen": "a\u00adb",
    "tag-letter": "a\U000e0041b",
    "tag-cancel": "a\U000e007f",
    "line-separator": "a\u2028b",
    "paragraph-separator": "a\u2029b",
    "hangul-filler": "a\u3164b",
    "halfwidth-filler": "a\uffa0b",
    "braille-blank": "a\u2800b",
    "grapheme-joiner": "a\u034fb",
    "variation-selector": "a\ufe01b",
    "variation-selector-256": "a\U000e01efb",
    "mongolian-separator": "a\u180eb",
    "private-use": "a\ue000b",
    "interlinear": "a\ufff9b",
    "backslash": "a\\b",
    "backslash-up": "..\\x",
    "backslash-end": "a\\",
    "not-utf8": "caf\udce9",
    "not-utf8-folder": "\udcff/x",
    "surrogate": "a\ud800b",
    "dot": ".",
    "dot-dot": "..",
    "up": "../x",
    "up-inside": "a/../x",
    "dot-inside": "a/./x",
    "absolute": "/etc/passwd",
    "double-slash": "a//b",
    "trailing-slash": "a/",
    "empty": "",
    "only-slash": "/",
    "name-of-256-bytes": "n" * 256,
    "name-of-256-bytes-in-utf8": "é" * 128,
    "folder-of-300-bytes": "n" * 300 + "/x",
    "path-of-5000-bytes": "/".join(["n" * 99] * 50),
    "hidden-in-a-folder": "src/a\u200b/x.py",
    "hidden-at-the-end": "x.py\u200b",
    "hidden-at-the-start": "\u200bx.py",
    "only-hidden": "\u2060",
    "deprecated-format": "a\u206ab",
    "language-tag": "a\U000e0001b",
}


@pytest.mark.parametrize("path", [pytest.param(path, id=name) for name, path in BAD_NAMES.items()])
def test_a_name_that_hides_something_or_is_no_name_never_leaves(path: str) -> None:
    """S22. Red when `_ill_named` and `_impossible` yield nothing (tried)."""
    found = problems(patch(added(path)), RULES)
    assert found
    assert all(line.isprintable() for line in found), "the words themselves must be safe to show"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        pytest.param("a", "/etc/passwd", id="absolute"),
        pytest.param("a", "//server/share", id="network-share"),
        pytest.param("a", "C:/Windows", id="drive"),
        pytest.param("a", "..", id="up-from-the-root"),
        pytest.param("a", "../x", id="up-and-down"),
        pytest.param("a/b", "../../x", id="one-too-many"),
        pytest.param("a/b/c", "../../../x", id="one-too-many-deeper"),
        pytest.param("a/b", "c/../../../x", id="detour"),
        pytest.param("a/b", "c/../d", id="detour-that-seems-to-stay"),
        pytest.param("a", "b/..", id="detour-at-the-end"),
        pytest.param("a", ".git/config", id="into-git"),
        pytest.param("a/b", "../.GIT/config", id="into-git-in-capitals"),
        pytest.param("a", "git~1", id="into-git-by-its-short-name"),
        pytest.param("a", "", id="nowhere"),
        pytest.param("a", "x\0y", id="nul"),
        pytest.param("a", "x\ny", id="newline"),
        pytest.param("a", "..\\x", id="backslash"),
        pytest.param("a", "x\u202ey", id="bidi"),
        pytest.param("a", b"\xff\xfe", id="not-utf8"),
        pytest.param("a", "x/" * 3000, id="6000-bytes"),
    ],
)
def test_a_link_that_leaves_the_tree_never_leaves_the_sandbox(path: str, target: bytes | str) -> None:
    """S22. Red when `_link_problems` yields nothing (tried)."""
    assert any("link" in line for line in problems(patch(link(path, target)), RULES))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(deleted("vendor/lib", "160000"), id="removed"),
        pytest.param(edited("vendor/lib", "160000"), id="replaced-by-a-file"),
        pytest.param(Change("vendor/lib", cast(Mode, "160000"), b""), id="added"),
        pytest.param(Change("dev", cast(Mode, "060000"), b""), id="device"),
    ],
)
def test_submodules_and_devices_never_leave(change: Change) -> None:
    assert any("submodule" in line for line in problems(patch(change), RULES))


@pytest.mark.parametrize(
    ("change", "base", "pair"),
    [
        pytest.param(added("readme.md"), ["README.md"], ("readme.md", "README.md"), id="case"),
        pytest.param(added("SRC/new.py"), ["src/old.py"], ("SRC", "src"), id="case-of-a-folder"),
        pytest.param(added("Lib"), ["lib/x.py"], ("Lib", "lib"), id="file-against-folder"),
        pytest.param(added("caf\u00e9"), ["cafe\u0301"], ("caf\u00e9", "cafe\u0301"), id="composed-and-decomposed"),
        pytest.param(added("stra\u00dfe"), ["STRASSE"], ("stra\u00dfe", "STRASSE"), id="sharp-s"),
        pytest.param(added("\ufb01le"), ["file"], ("\ufb01le", "file"), id="ligature"),
        pytest.param(added("\u212a.txt"), ["k.txt"], ("\u212a.txt", "k.txt"), id="kelvin"),
        pytest.param(added("\u03c2"), ["\u03a3"], ("\u03c2", "\u03a3"), id="final-sigma"),
    ],
)
def test_names_that_are_one_on_other_systems_are_refused(
    change: Change, base: list[str], pair: tuple[str, str]
) -> None:
    found = problems(patch(change), RULES, base_paths=base)
    assert found == (
        f"`{pair[0]}` and `{pair[1]}` are one name on systems that ignore case or Unicode form: choose one spelling.",
    )


def test_two_new_names_may_not_collide_either() -> None:
    assert len(problems(patch(added("a/X"), added("a/x")), RULES)) == 1


def test_a_rename_of_case_alone_is_no_collision() -> None:
    assert problems(patch(deleted("Readme.md"), added("README.md")), RULES, base_paths=["Readme.md"]) == ()


def test_what_collided_before_is_not_blamed_on_the_change() -> None:
    assert problems(patch(edited("a/x")), RULES, base_paths=["a/X", "a/x"]) == ()


def test_limits_say_what_is_too_much() -> None:
    rules = PathRules(max_files=1, max_lines=3, max_file_bytes=10, max_total_bytes=15, allow_large=("assets/**",))
    found = problems(patch(added("a", b"x" * 11), added("assets/b", b"y" * 11), lines=2), rules)
    assert found == (
        "2 files are changed and 1 are allowed: make a smaller change.",
        "4 lines are changed and 3 are allowed: make a smaller change.",
        "The changed files hold 22 bytes and 15 are allowed: make a smaller change.",
        "`a` has 11 bytes and 10 are allowed in one file: leave it out or make it smaller.",
    )


def test_paths_the_repository_denies_stay_as_they_were() -> None:
    rules = PathRules(deny=("infra/**", "*.lock", "!ok.lock"))
    found = problems(patch(added("infra/main.tf"), deleted("a/yarn.lock"), added("ok.lock"), added("src/x")), rules)
    assert [line.split("`")[1] for line in found] == ["infra/main.tf", "a/yarn.lock"]


def test_a_thousand_problems_are_cut_to_twenty() -> None:
    found = problems(patch(*(added(f".git/{n}") for n in range(1000))), RULES)
    assert len(found) == 21
    assert found[-1] == "981 more problems of these kinds."


def test_words_show_odd_characters_written_out() -> None:
    assert problems(patch(added("a`\u202eb")), RULES) == (
        "`a\\x60\\u202eb` has a character nobody can see (U+202E) in its name: rename it.",
    )
    assert problems(patch(added("caf\udce9")), RULES)[0].startswith("`caf\\xe9` has a name that is not UTF-8")
