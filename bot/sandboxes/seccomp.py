"""System calls that reach past a sandbox's namespaces, refused by a filter in the kernel's own small language.

A network namespace does not hold AF_VSOCK, which in a virtual machine talks to the host, nor a user namespace the
kernel's keys, which come with the bot's session. io_uring opens sockets unseen by a filter. The rest is attack surface
no build needs. Numbers: the kernel's syscall tables; encoding: seccomp(2) and linux/filter.h.
"""

import struct
from dataclasses import dataclass

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16  # offsets in struct seccomp_data, little-endian
ALLOW = 0x7FFF0000
NO_SUCH_CALL = 0x00050000 | 38  # ENOSYS: what libraries fall back from
NO_SUCH_FAMILY = 0x00050000 | 97  # EAFNOSUPPORT
X32_CALLS = 0x40000000  # a second numbering on x86-64
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all are inside the network namespace


@dataclass(frozen=True, slots=True)
class Machine:
    """`refused`: add_key, request_key, keyctl, bpf, perf_event_open, userfaultfd, io_uring_setup."""

    architecture: int
    socket: int
    refused: tuple[int, ...]


MACHINES = {
    "x86_64": Machine(0xC000003E, 41, (248, 249, 250, 321, 298, 323, 425)),
    "aarch64": Machine(0xC00000B7, 198, (217, 218, 219, 280, 241, 282, 425)),
}


def seccomp_filter(machine: str) -> bytes | None:
    """The program for `os.uname().machine`; None for one we have no numbers of. Other ABIs of it get ENOSYS."""
    if machine not in MACHINES:
        return None
    known = MACHINES[machine]
    families = len(FAMILIES)
    refused = len(known.refused)
    allow = families + 1  # steps from the first family's test to the last three instructions: family, allow, refuse
    program = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 0, refused + families + 6, known.architecture),
        (LOAD, 0, 0, NUMBER_AT),
        (AT_LEAST, refused + families + 4, 0, X32_CALLS),
        *((EQUAL, refused - index + families + 3, 0, call) for index, call in enumerate(known.refused)),
        (EQUAL, 0, families + 2, known.socket),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        *((EQUAL, allow - index - 1, 0, family) for index, family in enumerate(FAMILIES)),
        (RETURN, 0, 0, NO_SUCH_FAMILY),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, NO_SUCH_CALL),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
