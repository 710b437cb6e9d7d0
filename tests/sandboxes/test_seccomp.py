"""The filter's program, run on made-up calls by a small interpreter of the kernel's language."""

import struct

import pytest

from bot.sandboxes.seccomp import ALLOW, MACHINES, NO_SUCH_CALL, NO_SUCH_FAMILY, seccomp_filter


def verdict(machine: str, *, call: int, architecture: int | None = None, argument: int = 0) -> int:
    program = seccomp_filter(machine)
    assert program is not None
    steps = list(struct.iter_unpack("<HBBI", program))
    data = {0: call, 4: MACHINES[machine].architecture if architecture is None else architecture, 16: argument}
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        match code:
            case 0x20:
                accumulator = data[value]
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case _:
                return int(value)


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_exactly_the_listed_calls_are_refused(machine: str) -> None:
    known = MACHINES[machine]
    refused = {call for call in range(600) if verdict(machine, call=call) == NO_SUCH_CALL}
    assert refused == set(known.refused)
    assert {call for call in range(600) if verdict(machine, call=call) != ALLOW} - refused == {known.socket}


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_sockets_are_of_four_families(machine: str) -> None:
    socket = MACHINES[machine].socket
    verdicts = {family: verdict(machine, call=socket, argument=family) for family in range(60)}
    assert [family for family, answer in verdicts.items() if answer == ALLOW] == [1, 2, 10, 16]
    assert {answer for answer in verdicts.values() if answer != ALLOW} == {NO_SUCH_FAMILY}


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_other_abis_of_the_machine_have_no_calls(machine: str) -> None:
    assert verdict(machine, call=1, architecture=0x40000003) == NO_SUCH_CALL
    assert verdict(machine, call=0x40000029) == NO_SUCH_CALL


def test_a_machine_without_numbers_has_no_filter() -> None:
    assert seccomp_filter("riscv64") is None
