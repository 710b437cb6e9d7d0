"""What commands of the setup phase may reach: decided from names, ports and addresses, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from bot.domain.hosts import is_on

PORTS = (443, 80)
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """The operator's part of the rules.

    `own_hosts`: name to port, reached directly and wherever the name leads but to link-local addresses (where clouds
    keep their metadata): an internal package index. `proxy`: the operator's own, `http://[user:password@]host:port`,
    which every other connection goes through; it then resolves the names. The caps are for one setup phase.
    """

    own_hosts: tuple[tuple[str, int], ...] = ()
    proxy: str = ""
    max_bytes_in: int = 4 << 30
    max_bytes_out: int = 64 << 20
    max_connections: int = 128


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a command wants to go, as it said it: a lower-case name and a port."""

    name: str
    port: int

    @property
    def shown(self) -> str:
        return self.name if self.port in PORTS else f"{self.name}:{self.port}"


def is_operators(where: Destination, way_out: WayOut) -> bool:
    return (where.name, where.port) in way_out.own_hosts


def is_allowed(where: Destination, names: Sequence[str], way_out: WayOut) -> bool:
    """By name and port; its address is judged when it is known."""
    return is_operators(where, way_out) or (where.port in PORTS and is_on(where.name, names))


def may_connect(address: str, *, operators: bool) -> bool:
    """Whether a name may lead to this address: a public one, or what the operator's own hosts have."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    every = (ip, *_inside(ip))
    if operators:
        return not any(one.is_link_local or one.is_multicast or one.is_unspecified for one in every)
    return all(one.is_global and not one.is_multicast for one in every)


def _inside(ip: Address) -> tuple[Address, ...]:
    """IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo, NAT64."""
    if isinstance(ip, IPv4Address):
        return ()
    found = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in NAT64:
        found.append(IPv4Address(int(ip) & 0xFFFFFFFF))
    return tuple(one for one in found if one is not None)
