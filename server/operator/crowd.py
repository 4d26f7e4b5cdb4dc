"""Connections of any kind, counted when they are accepted: what one address holds, nobody else is short of."""

from __future__ import annotations

import ipaddress
from collections import Counter

from .options import ServerOptions

MOST_CONNECTIONS = 900  # at once, of all kinds: a process may often have 1024 files, and models have theirs
SHARED_BITS = 64  # of an IPv6 address: who has one has all those that begin alike


class Crowd:
    """Who is there. `most` of all, `of_address` of one address (0: no limit); proxies are as many as their clients."""

    def __init__(self, most: int = MOST_CONNECTIONS, of_address: int = 0, proxies: tuple[str, ...] = ()) -> None:
        self._most, self._of_address = most, of_address
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]
        self._there: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._there.total()

    @classmethod
    def of(cls, options: ServerOptions) -> Crowd:
        """As the options say."""
        return cls(MOST_CONNECTIONS, options.address_connections, options.trusted_proxies)

    def enter(self, address: str) -> bool:
        """Count a connection from `address`, to be taken back by `leave`; False where there are too many."""
        place = share_of(address)
        limited = self._of_address and self._there[place] >= self._of_address and not self._is_proxy(address)
        if limited or len(self) >= self._most:
            return False
        self._there[place] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that entered is gone."""
        place = share_of(address)
        self._there[place] -= 1
        if self._there[place] <= 0:
            del self._there[place]

    def _is_proxy(self, address: str) -> bool:
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self._proxies)


def share_of(address: str) -> str:
    """Whom connections from `address` are counted for: itself, or the network of an IPv6 address."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((known, SHARED_BITS), strict=False))
    return str(known)
