"""Who may begin a session, and how many: API keys with their limits, and limits of an address. Pure but for the clock.

A file of keys is TOML; `key` itself, or `sha256`, its digest in hex, so that the file need not tell it:

    [[keys]]
    name = "talks"
    key = "…"               # at least 16 characters
    max_sessions = 4        # at once; 0 or nothing is no limit, here and below
    minutes_per_day = 600   # of audio, from the first; a session that runs when they are used up goes on
    sessions_per_minute = 10

The environment variable STREAMST_API_KEYS holds `name:key` pairs, with commas between them and no limits.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
import time
import tomllib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError, ProtocolError
from streamst.server.wire import codes

log = logging.getLogger("streamst.server")

ENVIRONMENT = "STREAMST_API_KEYS"
LEAST_KEY_CHARACTERS = 16
REMEMBERED_ADDRESSES = 10_000
MINUTE_S, DAY_S = 60.0, 86_400.0
TOLD_ADDRESSES = 100  # the busiest, that other nodes are told of


@dataclass(frozen=True)
class ApiKey:
    """One key: a name for logs and metrics, its digest, its limits (0: none)."""

    name: str
    sha256: str
    max_sessions: int = 0
    minutes_per_day: float = 0.0
    sessions_per_minute: int = 0

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or not set(self.sha256) <= set("0123456789abcdef"):
            raise ConfigError(f"key {self.name!r}: sha256 must be 64 hexadecimal digits")
        for name in ("max_sessions", "minutes_per_day", "sessions_per_minute"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"key {self.name!r}: {name} is {getattr(self, name)}; it must not be negative")


def make_key(name: str, key: str, **limits: Any) -> ApiKey:
    """The entry for a secret; ConfigError for one that could be guessed."""
    if len(key) < LEAST_KEY_CHARACTERS:
        raise ConfigError(f"key {name!r} has {len(key)} characters; it needs at least {LEAST_KEY_CHARACTERS}")
    return from_dict(ApiKey, {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), **limits}, name)


def warn_of_readers(path: str | Path) -> None:
    """Log a warning where a file that holds a secret is open to all; OSError where it is not there."""
    if Path(path).stat().st_mode & stat.S_IROTH:
        log.warning("%s can be read by every user of this machine: chmod o-r", path)


def load_keys(path: str | Path | None, environment: Mapping[str, str] = os.environ) -> tuple[ApiKey, ...]:
    """The keys of a file and of the environment, if there are any; InputError or ConfigError says what is wrong."""
    keys: list[ApiKey] = []
    if path is not None:
        try:
            warn_of_readers(path)
            entries = tomllib.loads(Path(path).read_text("utf-8")).get("keys", [])
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path} cannot be read as a file of keys: {error}") from error
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ConfigError(f"{path}: keys must be tables, each begun with [[keys]]")
        for entry in entries:
            fields = dict(entry)
            secret = fields.pop("key", None)
            keys.append(from_dict(ApiKey, fields, "key") if secret is None else make_key(key=str(secret), **fields))
    for pair in filter(None, environment.get(ENVIRONMENT, "").split(",")):
        name, colon, secret = pair.strip().partition(":")
        if not colon:
            raise ConfigError(f"{ENVIRONMENT} must hold name:key pairs; one of them has no colon")
        keys.append(make_key(name, secret))
    names = [key.name for key in keys]
    if len(set(names)) != len(names):
        raise ConfigError(f"two keys have one name; names: {', '.join(sorted(names))}")
    return tuple(keys)


class Rate:
    """At most `most` times within a while (0: any number)."""

    def __init__(self, most: int, within_s: float = MINUTE_S) -> None:
        self.most, self.within_s = most, within_s
        self._times_s: deque[float] = deque()

    def count(self, now_s: float) -> int:
        """How many there were in the while before now."""
        while self._times_s and now_s - self._times_s[0] >= self.within_s:
            self._times_s.popleft()
        return len(self._times_s)

    def wait_s(self, now_s: float, elsewhere: int = 0) -> float:
        """How long until there may be another one, beside those `elsewhere`, of which nobody knows when they were."""
        here = self.count(now_s)
        if not self.most or here + elsewhere < self.most:
            return 0.0
        return self._times_s[0] + self.within_s - now_s if here else self.within_s / self.most

    def take(self, now_s: float) -> None:
        """There is another one."""
        if self.most:
            self._times_s.append(now_s)


class Others(Protocol):
    """What other nodes tell of the last minute."""

    def begun(self, name: str) -> int:
        """Sessions of a key."""
        ...

    def knocks(self, address: str) -> int:
        """Connections of an address."""
        ...


class Admission:
    """Lets in who shows a good key and is within its limits. Without keys everybody is, within those of an address."""

    def __init__(
        self,
        keys: tuple[ApiKey, ...] = (),
        address_sessions: int = 0,
        address_rate: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """address_sessions: at once; address_rate: connections in a minute; 0 is no limit."""
        self.keys = {key.name: key for key in keys}
        self.address_sessions, self._address_rate, self._now = address_sessions, address_rate, now
        self._addresses: OrderedDict[str, Rate] = OrderedDict()
        self._rates = {key.name: Rate(key.sessions_per_minute) for key in keys}
        self._used_ms: dict[str, tuple[float, float]] = {}  # since when, how much, by name
        self.others: Others | None = None
        self._untold_ms = {key.name: 0.0 for key in keys if key.minutes_per_day}  # what other nodes do not know yet
        self._used_by_all_ms: dict[str, float] = {}  # on all nodes, as far as they told; empty where nobody tells

    def knock(self, address: str | None) -> None:
        """Somebody connects from `address`; ProtocolError 4429 when that happens too often."""
        if not self._address_rate or address is None:
            return
        rate = self._addresses.pop(address, None) or Rate(self._address_rate)
        self._addresses[address] = rate
        if len(self._addresses) > REMEMBERED_ADDRESSES:
            self._addresses.popitem(last=False)
        others = 0 if self.others is None else self.others.knocks(address)
        self._require(rate, f"{self._address_rate} connections a minute from one address", others)
        rate.take(self._now())

    def find(self, secret: str | None) -> ApiKey | None:
        """Whose key `secret` is; takes as long whoever's it is. None without keys."""
        if not self.keys:
            return None
        shown = hashlib.sha256((secret or "").encode(errors="replace")).hexdigest()
        found = None
        for key in self.keys.values():
            if hmac.compare_digest(key.sha256, shown):
                found = key
        if found is None:
            raise ProtocolError("this server needs an API key: show yours as a bearer token", codes.UNAUTHORISED)
        return found

    def admit(
        self, secret: str | None, address: str | None, open_of_key: Callable[[str], tuple[int, float]], of_address: int
    ) -> str | None:
        """The name of the key that another session belongs to; ProtocolError 4401 or 4429 says why there is none.

        open_of_key: sessions of a key that are open, and their audio so far [ms]; of_address: open ones of `address`.
        """
        self.require_share(address, of_address)
        key = self.find(secret)
        return None if key is None else self._within_limits(key, open_of_key)

    def readmit(
        self, name: str | None, address: str | None, open_of_key: Callable[[str], tuple[int, float]], of_address: int
    ) -> str | None:
        """As `admit`, for a key that is known by its name; one that is no longer good is 4401."""
        self.require_share(address, of_address)
        if not self.keys:
            return None
        if name not in self.keys:
            raise ProtocolError("this server needs an API key: show yours as a bearer token", codes.UNAUTHORISED)
        return self._within_limits(self.keys[name], open_of_key)

    def _within_limits(self, key: ApiKey, open_of_key: Callable[[str], tuple[int, float]]) -> str:
        sessions, audio_ms = open_of_key(key.name)
        if key.max_sessions and sessions >= key.max_sessions:
            raise ProtocolError(f"this key may have {key.max_sessions} sessions at once", codes.QUOTA)
        if key.minutes_per_day and self._spent_ms(key.name) + audio_ms >= key.minutes_per_day * MINUTE_S * 1000:
            raise ProtocolError(f"this key's {key.minutes_per_day:g} minutes a day are used up", codes.QUOTA)
        others = 0 if self.others is None else self.others.begun(key.name)
        self._require(self._rates[key.name], f"{key.sessions_per_minute} sessions a minute with this key", others)
        self._rates[key.name].take(self._now())
        return key.name

    def require_share(self, address: str | None, of_address: int) -> None:
        """ProtocolError 4429 where `address` holds all the places that one may."""
        if self.address_sessions and address is not None and of_address >= self.address_sessions:
            raise ProtocolError(f"{self.address_sessions} sessions at once are allowed from one address", codes.QUOTA)

    def spent(self, name: str | None, audio_ms: float) -> None:
        """So much was heard with the key."""
        if name is not None and audio_ms:
            spent_ms = self._spent_here_ms(name)
            since_s = self._used_ms.get(name, (self._now(), 0.0))[0]
            self._used_ms[name] = (since_s, spent_ms + audio_ms)
            if name in self._untold_ms:
                self._untold_ms[name] += audio_ms

    def untold_ms(self) -> dict[str, float]:
        """Audio of the keys with a limit that no other node knows of."""
        return dict(self._untold_ms)

    def counted(self, told_ms: Mapping[str, float], all_ms: Mapping[str, float] | None) -> None:
        """Other nodes know of `told_ms` now, and of `all_ms` on all nodes together; None: they cannot be asked."""
        self._used_by_all_ms = dict(all_ms or {})
        for name in self._used_by_all_ms:
            self._untold_ms[name] -= told_ms[name]

    def lately(self) -> tuple[dict[str, int], dict[str, int]]:
        """Sessions by key, and connections by address, of the last minute, where they are limited."""
        now_s = self._now()
        begun = {name: rate.count(now_s) for name, rate in self._rates.items()}
        knocks = Counter({address: rate.count(now_s) for address, rate in self._addresses.items()})
        return {name: count for name, count in begun.items() if count}, dict(knocks.most_common(TOLD_ADDRESSES))

    def _spent_ms(self, name: str) -> float:
        if name in self._used_by_all_ms:
            return self._used_by_all_ms[name] + self._untold_ms[name]
        return self._spent_here_ms(name)

    def _spent_here_ms(self, name: str) -> float:
        since_s, spent_ms = self._used_ms.get(name, (0.0, 0.0))
        if self._now() - since_s >= DAY_S:
            self._used_ms.pop(name, None)
            return 0.0
        return spent_ms

    def _require(self, rate: Rate, allowed: str, elsewhere: int) -> None:
        wait_s = rate.wait_s(self._now(), elsewhere)
        if wait_s:
            raise ProtocolError(f"{allowed} are allowed; try again in {max(1, round(wait_s))} s", codes.QUOTA)
