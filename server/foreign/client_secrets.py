"""Client secrets: short-lived keys for pages, signed and not stored, so that nobody can use them up."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

from streamst.errors import ProtocolError
from streamst.server.wire import codes

PREFIX = "ek_"


@dataclass(frozen=True)
class Secret:
    """What a client secret opens, and until when."""

    session_id: str
    target: str
    transcription: dict[str, str | None] | None
    model: str
    expires_at: int  # Unix time
    owner: str | None  # name of the API key that it was asked for with, and whose limits hold


class Signer:
    """Makes and reads secrets, good in this process only."""

    def __init__(self, key: bytes | None = None) -> None:
        """key: what they are signed with; a fresh one when None."""
        self._key = secrets.token_bytes(32) if key is None else key

    def sign(self, secret: Secret) -> str:
        """`secret` as its holder shows it: readable, and unchangeable."""
        body = base64.urlsafe_b64encode(json.dumps(dataclasses.asdict(secret)).encode()).decode().rstrip("=")
        return f"{PREFIX}{body}.{self._seal(body)}"

    def read(self, shown: str, now: float) -> Secret:
        """The inverse; ProtocolError 4401 for what was not signed here or is no longer good."""
        body, _, seal = shown.removeprefix(PREFIX).partition(".")
        if not hmac.compare_digest(self._seal(body).encode(), seal.encode(errors="replace")):
            raise _not_good()
        try:
            secret = Secret(**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
        except (binascii.Error, ValueError, TypeError) as error:
            raise _not_good() from error
        if secret.expires_at <= now:
            raise _not_good()
        return secret

    def _seal(self, body: str) -> str:
        return hmac.new(self._key, body.encode(errors="replace"), hashlib.sha256).hexdigest()


def _not_good() -> ProtocolError:
    return ProtocolError("the client secret is unknown or expired: ask for a new one", codes.UNAUTHORISED)
