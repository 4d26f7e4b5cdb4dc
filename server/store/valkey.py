"""A store that many machines share: Valkey, or Redis, by Valkey's own client.

Everything lies under `streamst:`. A session is a hash with the fields `e` (epoch), `o` (owner), `h` (head), `b`
(body) and `p0`, `p1` ... (pieces); what compares and then writes does so in a script, which the store runs as one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from streamst.errors import ConfigError, UnavailableError

from .memory import MemoryStore
from .seam import Entry, SessionStore, StoreError

if TYPE_CHECKING:
    from valkey.asyncio import Valkey

T = TypeVar("T")

SCHEMES = ("valkey", "valkeys", "redis", "rediss", "unix")
TIMEOUT_S = 1.0  # that an answer may take
PREFIX = "streamst:"
NODES = f"{PREFIX}nodes:"

CLAIM = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local epoch = redis.call('HINCRBY', KEYS[1], 'e', 1)
redis.call('HSET', KEYS[1], 'o', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local found = {epoch, redis.call('HGET', KEYS[1], 'h'), redis.call('HGET', KEYS[1], 'b')}
local piece = redis.call('HGET', KEYS[1], 'p0')
while piece do
  found[#found + 1] = piece
  piece = redis.call('HGET', KEYS[1], 'p' .. (#found - 3))
end
return found
"""
WRITE = """
local epoch = redis.call('HGET', KEYS[1], 'e')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'e', ARGV[1], 'o', ARGV[2], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
HOLD = """
local lost = {}
for place, key in ipairs(KEYS) do
  local epoch = redis.call('HGET', key, 'e')
  if epoch and tonumber(epoch) > tonumber(ARGV[place + 1]) then lost[#lost + 1] = place
  elseif epoch then redis.call('PEXPIRE', key, ARGV[1]) end
end
return lost
"""
COUNT = """
local totals = {}
for place, key in ipairs(KEYS) do
  local amount = tonumber(ARGV[place + 1])
  if amount == 0 then totals[place] = tonumber(redis.call('GET', key) or 0)
  else totals[place] = redis.call('INCRBY', key, amount) end
  if amount ~= 0 and redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[1]) end
end
return totals
"""
REMOVE = """
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch or tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
if tonumber(epoch) == 1 then return redis.call('DEL', KEYS[1]) end
local owner = redis.call('HGET', KEYS[1], 'o')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', epoch, 'o', owner)
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


def open_store(url: str, timeout_s: float = TIMEOUT_S) -> SessionStore:
    """The store at `url`, which need not answer yet: valkey://HOST:PORT/DB, or `memory`. ConfigError for no such
    address, UnavailableError without the client's package."""
    if url == "memory":
        return MemoryStore()
    try:
        parts = urlsplit(url)
        right = parts.scheme in SCHEMES and bool(parts.hostname or parts.scheme == "unix") and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise ConfigError(f"store {_public(url)!r} is no address; use valkey://HOST:PORT/DB ({', '.join(SCHEMES)})")
    return ValkeyStore(url, timeout_s)


class ValkeyStore:
    """A `SessionStore`."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        try:
            from valkey.asyncio import Valkey
        except ImportError as error:
            raise UnavailableError("a store needs the client of Valkey: pip install 'streamst[store]'") from error
        self.name = _public(url)  # without a password
        self._url = url
        self._timeout_s = timeout_s
        try:
            self._client: Valkey = Valkey.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, single_connection_client=False
            )
        except ValueError as error:
            raise ConfigError(f"store {self.name!r}: {error}") from error

    async def read(self, name: str) -> Entry | None:
        """See `SessionStore`."""
        asked = cast(Awaitable[list[Any]], self._client.hmget(_session(name), ["e", "o", "h", "b"]))
        found = await self._ask(asked)
        return None if found[0] is None else _entry(*found)

    async def claim(self, name: str, owner: str, ttl_s: float) -> Entry | None:
        """See `SessionStore`."""
        found = await self._run(CLAIM, [_session(name)], owner, _ms(ttl_s))
        return None if found is None else _entry(found[0], owner.encode(), *found[1:])

    async def write(
        self,
        name: str,
        owner: str,
        epoch: int,
        ttl_s: float,
        head: bytes | None = None,
        body: bytes | None = None,
        piece: tuple[int, bytes] | None = None,
    ) -> bool:
        """See `SessionStore`."""
        given = [("h", head), ("b", body), *([] if piece is None else [(f"p{piece[0]}", piece[1])])]
        fields = [part for field, value in given if value is not None for part in (field, value)]
        return bool(await self._run(WRITE, [_session(name)], epoch, owner, _ms(ttl_s), *fields))

    async def hold(self, epochs: Mapping[str, int], ttl_s: float) -> set[str]:
        """See `SessionStore`."""
        if not epochs:
            return set()
        names = list(epochs)
        lost = await self._run(HOLD, [_session(name) for name in names], _ms(ttl_s), *epochs.values())
        return {names[place - 1] for place in lost}

    async def remove(self, name: str, epoch: int, ttl_s: float) -> None:
        """See `SessionStore`."""
        await self._run(REMOVE, [_session(name)], epoch, _ms(ttl_s))

    async def offer(self, name: str, value: bytes, ttl_s: float) -> None:
        """See `SessionStore`."""
        await self._ask(self._client.set(f"{PREFIX}offer:{name}", value, px=_ms(ttl_s)))

    async def take(self, name: str) -> bytes | None:
        """See `SessionStore`."""
        return await self._ask(self._client.getdel(f"{PREFIX}offer:{name}"))

    async def announce(self, node: str, value: bytes | None, ttl_s: float) -> None:
        """See `SessionStore`."""
        if value is None:
            await self._ask(self._client.delete(NODES + node))
        else:
            await self._ask(self._client.set(NODES + node, value, px=_ms(ttl_s)))

    async def announced(self) -> dict[str, bytes]:
        """See `SessionStore`."""
        keys = [key async for key in self._each_node()]
        values = await self._ask(self._client.mget(keys)) if keys else []
        return {key.decode()[len(NODES) :]: value for key, value in zip(keys, values, strict=True) if value is not None}

    async def _each_node(self) -> AsyncIterator[bytes]:
        cursor = -1
        while cursor:
            cursor, keys = await self._ask(self._client.scan(max(0, cursor), f"{NODES}*", 1000))
            for key in keys:
                yield key

    async def count(self, amounts: Mapping[str, int], ttl_s: float) -> dict[str, int]:
        """See `SessionStore`."""
        if not amounts:
            return {}
        keys = [f"{PREFIX}count:{name}" for name in amounts]
        totals = await self._run(COUNT, keys, _ms(ttl_s), *amounts.values())
        return dict(zip(amounts, map(int, totals), strict=True))

    async def publish(self, channel: str, value: bytes) -> None:
        """See `SessionStore`."""
        await self._ask(self._client.publish(f"{PREFIX}room:{channel}", value))

    async def listen(self, channel: str) -> AsyncIterator[bytes]:
        """See `SessionStore`."""
        listener = self._client.pubsub(ignore_subscribe_messages=True)
        try:
            await self._ask(listener.subscribe(f"{PREFIX}room:{channel}"))
            while True:
                message = await self._ask(listener.get_message(timeout=self._timeout_s / 2))
                if message is not None:
                    yield message["data"]
        finally:
            await listener.aclose()

    async def close(self) -> None:
        """See `SessionStore`."""
        await self._client.aclose(close_connection_pool=True)

    async def _run(self, script: str, keys: list[str], *values: Any) -> Any:
        return await self._ask(cast(Awaitable[Any], self._client.eval(script, len(keys), *keys, *values)))

    async def _ask(self, asked: Awaitable[T]) -> T:
        from valkey.exceptions import ValkeyError

        try:
            return await asked
        except (ValkeyError, OSError) as error:  # TimeoutError is one
            raise StoreError(f"the store {self.name}: {error or 'no answer in time'}") from error


def _session(name: str) -> str:
    return f"{PREFIX}session:{name}"


def _ms(seconds: float) -> int:
    return max(1, round(1000 * seconds))


def _entry(epoch: Any, owner: bytes | None, head: bytes | None, body: bytes | None, *pieces: bytes) -> Entry:
    return Entry(int(epoch), (owner or b"").decode(errors="replace"), head or b"", body or b"", pieces)


def _public(url: str) -> str:
    """An address without what only its owner should know."""
    parts = url.rpartition("@")
    return f"{url.partition('://')[0]}://{parts[2]}" if parts[1] else url
