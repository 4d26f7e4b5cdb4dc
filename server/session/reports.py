"""What became of sessions: kept for a while after their end, a bounded number of them."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streamst.server.wire.summary import Summary

KEPT_S = 3600.0
KEPT = 1000


def digest(token: str) -> bytes:
    """What is kept of a token: enough to know it again."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def among(token: str, digests: Iterable[bytes]) -> bool:
    """Whether one of `digests` is of `token`; takes as long whichever it is."""
    mine, found = digest(token), False
    for known in digests:
        found |= hmac.compare_digest(mine, known)
    return found


@dataclass(frozen=True)
class Kept:
    """One report, and whose it is."""

    report: Summary
    tokens: tuple[bytes, ...]  # digests of the tokens that may read it
    owner: str | None  # name of the API key that the session came with
    until_s: float


class Reports:
    """Reports of sessions that ended, by session."""

    def __init__(self, kept_s: float = KEPT_S, most: int = KEPT, now: Callable[[], float] = time.monotonic) -> None:
        self.kept_s, self.most, self._now = kept_s, most, now
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, session_id: str, report: Summary, tokens: tuple[bytes, ...], owner: str | None = None) -> None:
        """Keep a report; the oldest gives way when there are too many."""
        self._kept[session_id] = Kept(report, tokens, owner, self._now() + self.kept_s)
        self._kept.move_to_end(session_id)
        self._forget()

    def find(self, session_id: str) -> Kept | None:
        """The report, while it is kept."""
        self._forget()
        return self._kept.get(session_id)

    def knows(self, token: str) -> bool:
        """Whether `token` was that of a session whose report is kept."""
        self._forget()
        return among(token, (known for kept in self._kept.values() for known in kept.tokens))

    def _forget(self) -> None:
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) <= self.most and self._kept[oldest].until_s > self._now():
                return
            del self._kept[oldest]
