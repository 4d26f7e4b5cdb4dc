"""Values as they lie in the store: with a version and a digest, and signed where there is a key.

    offset  size  field
    0       4     "SST" and the version, 1
    4       32    BLAKE2b of the name under which the value lies and of the value itself; with a key, keyed
    36            the value

Without a key a digest finds damage, and whoever can write to the store is trusted. With one, nothing is believed that
was not written by a node which has it, under this very name. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import hmac

from streamst.errors import ConfigError, InputError

MAGIC = b"SST"
VERSION = 1
DIGEST_BYTES = 32
HEAD_BYTES = len(MAGIC) + 1 + DIGEST_BYTES
LEAST_KEY_CHARACTERS = 16


class Seal:
    """Closes and opens values. `secret`: what all nodes share, None to trust the store."""

    def __init__(self, secret: str | None = None) -> None:
        if secret is not None and len(secret) < LEAST_KEY_CHARACTERS:
            raise ConfigError(f"a store key has {len(secret)} characters; it needs at least {LEAST_KEY_CHARACTERS}")
        self._key = b"" if secret is None else hashlib.sha512(secret.encode()).digest()

    def close(self, name: str, value: bytes) -> bytes:
        """`value` as it is stored under `name`."""
        return MAGIC + bytes([VERSION]) + self._digest(name, value) + value

    def open(self, name: str, stored: bytes) -> bytes:
        """The value; InputError for what is foreign, of another version, damaged, or signed with another key."""
        if stored[: len(MAGIC)] != MAGIC or len(stored) < HEAD_BYTES:
            raise InputError(f"what is stored as {name!r} is no value of ours ({len(stored)} bytes)")
        if stored[len(MAGIC)] != VERSION:
            raise InputError(f"what is stored as {name!r} has version {stored[len(MAGIC)]}; allowed: {VERSION}")
        value = stored[HEAD_BYTES:]
        if not hmac.compare_digest(stored[len(MAGIC) + 1 : HEAD_BYTES], self._digest(name, value)):
            raise InputError(f"what is stored as {name!r} is damaged, or signed with another key")
        return value

    def _digest(self, name: str, value: bytes) -> bytes:
        digest = hashlib.blake2b(name.encode() + b"\0", digest_size=DIGEST_BYTES, key=self._key)
        digest.update(value)
        return digest.digest()
