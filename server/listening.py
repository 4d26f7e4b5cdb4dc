"""The address that a server listens on, bound before anything slow is begun, and those at which others reach it."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from streamst.errors import UnavailableError
from streamst.server.operator.options import ServerOptions

SEND_BUFFER_BYTES = 1 << 17  # of a connection, in the kernel, which would else keep megabytes for who does not read
WAITING = 4096  # connections that are not accepted yet: who finds no room asks again after a second, then three
FAR = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # addresses nobody has (RFC 5737, RFC 3849)


def bind(options: ServerOptions) -> socket.socket:
    """A socket with the address of `options`, which nobody can connect to yet; UnavailableError where it is taken."""
    try:
        family, _, _, _, place = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _taken(options, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place[:2])
    except OSError as error:
        bound.close()
        raise _taken(options, error) from error
    return bound


def listen(bound: socket.socket, options: ServerOptions) -> str:
    """Let clients connect from now on; returns the address under which a page reaches the server. UnavailableError
    where another server was quicker."""
    try:
        bound.listen(WAITING)
    except OSError as error:
        bound.close()
        raise _taken(options, error) from error
    host, port = bound.getsockname()[:2]
    return _url(options.scheme, host, port)


def reachable(address: str) -> list[str]:
    """The addresses at which other devices reach a server that listens on `address`; none where only this one does,
    itself where it is one and not every network's."""
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    bound = ipaddress.ip_address(host.strip("[]"))
    if bound.is_loopback:
        return []
    if not bound.is_unspecified:
        return [address]
    family = socket.AF_INET if bound.version == 4 else socket.AF_INET6
    return [_url(scheme, own, int(port)) for own in _own_addresses(family)]


def _own_addresses(family: socket.AddressFamily) -> list[str]:
    """Addresses of this machine that are no loopback's, the one that leads outside first."""
    found: dict[str, None] = {}
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((FAR[family], 9))  # which chooses a way there, and sends nothing
        found[probe.getsockname()[0]] = None
    with suppress(OSError):  # a machine without an entry for its own name
        for *_, place in socket.getaddrinfo(socket.gethostname(), None, family, socket.SOCK_STREAM):
            found[str(place[0]).partition("%")[0]] = None
    kept = map(ipaddress.ip_address, found)
    return [str(one) for one in kept if not (one.is_loopback or one.is_link_local or one.is_unspecified)]


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _taken(options: ServerOptions, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"cannot listen on {options.host} port {options.port}: {error.strerror or error}; "
        "choose another port, or 0 for any free one"
    )
