"""Where a request comes from: the peer, or what a proxy that is trusted says of it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

NOWHERE = "unknown"
# Whoever has an IPv6 address usually has 2^64 of them.
_IPV6_PREFIX = 64


@dataclass(frozen=True)
class Client:
    """Who is at the other end, as far as it can be told."""

    address: str
    scheme: str

    @property
    def group(self) -> str:
        """What one limit is for: the address, or its network for IPv6."""
        try:
            address = ip_address(self.address)
        except ValueError:
            return self.address
        if isinstance(address, IPv6Address):
            return str(ip_network((address, _IPV6_PREFIX), strict=False))
        return self.address


class Addresses:
    """Tells the client's address. ``trusted``: addresses or networks of proxies, separated by spaces."""

    def __init__(self, trusted: str | None) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [
            ip_network(part, strict=False) for part in (trusted or "").split()
        ]

    def client(
        self, peer: str | None, scheme: str, forwarded_for: str | None, proto: str | None
    ) -> Client:
        """Who it is. Of a list of addresses the last one that no trusted proxy has counts: whatever
        stands before it was written by somebody whom we do not know."""
        address = _plain(peer) or NOWHERE
        if not self._is_trusted(address):
            return Client(address, scheme)
        for part in reversed((forwarded_for or "").split(",")):
            claimed = _plain(part.strip())
            if claimed is None:
                break
            address = claimed
            if not self._is_trusted(claimed):
                break
        told = (proto or "").strip().lower()
        return Client(address, told if told in {"http", "https"} else scheme)

    def _is_trusted(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            known = ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self._trusted)


def _plain(text: str | None) -> str | None:
    """The address without port, brackets or zone, in its shortest form; None when it is none."""
    if not text:
        return None
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def is_loopback(address: str) -> bool:
    """Whether it is this machine."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
