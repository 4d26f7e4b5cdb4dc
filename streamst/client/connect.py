"""A connection to a server: its address, and what its refusal means."""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from streamst.errors import InputError, UnavailableError

log = logging.getLogger("streamst.client")

LOOPBACK = ("127.0.0.1", "::1", "localhost")  # reached without a proxy
MAX_MESSAGE_BYTES = 16 << 20  # from the server: a long phrase's speech


def stream_url(url: str) -> str:
    """`url` as the native protocol's: http becomes ws, a missing path /v1/stream. InputError for anything else."""
    try:
        parts = urlsplit(url)
        possible = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port beyond 65535, half an IPv6 address
        parts, possible = urlsplit(""), False
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not possible:
        raise InputError(f"{url!r} is not a server's address; use ws://HOST:PORT or wss://HOST:PORT")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") or "/v1/stream", parts.query, ""))


class _WithKey(websocket):
    """Leads its key nowhere else: at a redirect websockets takes headers with keys away, but no subprotocols."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        following = super().process_redirect(exc)
        if not isinstance(following, str) or _origin(following) == _origin(self.uri):
            return following
        return InvalidHandshake(f"it leads to {urlsplit(following).netloc}, which the key is not meant for")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


async def connect(
    address: str, offered: list[str], tls: ssl.SSLContext | None, wait_s: float = 10.0
) -> ClientConnection:
    """An open websocket that offers the subprotocols `offered`, made within `wait_s`; UnavailableError says why not.

    A key among them is sent to nobody else than `address`, and a warning tells where it goes unencrypted.
    """
    parts = urlsplit(address)
    has_key = any(name.startswith("token.") for name in offered)
    if has_key and parts.scheme == "ws" and parts.hostname not in LOOPBACK:
        log.warning("the key goes to %s unencrypted: use wss://", parts.hostname)
    try:
        return await (_WithKey if has_key else websocket)(
            address,
            subprotocols=[Subprotocol(name) for name in offered],
            ssl=(tls or ssl.create_default_context()) if parts.scheme == "wss" else None,
            proxy=None if parts.hostname in LOOPBACK else True,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=wait_s,
            compression=None,
        )
    except InvalidStatus as error:
        told = error.response.body or b""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            told = json.loads(told)["message"].encode()
        reason = told.decode(errors="replace")[:300] or f"HTTP {error.response.status_code}"
        raise UnavailableError(f"{address} refuses: {reason}") from error
    except InvalidURI as error:
        raise InputError(f"{address!r} is not a server's address: {error}") from error
    except ssl.SSLCertVerificationError as error:
        why = f"{error.verify_message}; --insecure, or a context as `tls`, accepts it"
        raise UnavailableError(f"the certificate of {address} is not trusted: {why}") from error
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise UnavailableError(f"no StreamST server answers at {address}: {error}") from error
