"""What every tool stands on."""

import subprocess

import pytest

from bot.agent.ground import shell


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(
            "&& x",
            "bash: -c: line 1: syntax error near unexpected token `&&'\nbash: -c: line 1: `&& x'\n",
            id="a-line-that-is-none",
        ),
        pytest.param("true\nnowhere-4711", "bash: line 2: nowhere-4711: command not found\n", id="the-second-line"),
        pytest.param("echo a; echo b >&2; echo c", "a\nb\nc\n", id="both-outputs"),
        pytest.param("echo $0 $#", "bash 0\n", id="no-arguments"),
    ],
)
def test_a_command_is_the_first_that_bash_reads(command: str, said: str) -> None:
    """Red when the redirection stands before it, on the same line or on one of its own: seen."""
    ran = subprocess.run(shell(command), env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (said, "")
