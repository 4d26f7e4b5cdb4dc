"""One listener's place in a room: what to send next, and what to skip for who is too far behind. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from streamst.server.wire.seam import Message

from .tape import Entry, Tape
from .wire import Wish, jump


class Member:
    """A listener. It keeps no messages of its own: however slow it is, it costs no memory."""

    def __init__(
        self, tape: Tape, source: str, wish: Wish, after: int | None, behind_s: float, now: Callable[[], float]
    ) -> None:
        """after: number of the last event that came, of who comes back; None for who is new. behind_s: see `next`."""
        self.wish = wish
        self.number = 0  # of the last event that was sent, or left out
        self.lag_s: float | None = None  # of the last event that was sent
        self.jumps = 0
        self.on_news: Callable[[], None] = lambda: None  # called when there is something to send
        self._tape, self._source, self._behind_s, self._now = tape, source, behind_s, now
        self._patient_until = tape.newest  # what waited when it came makes nobody late
        self._waiting: list[Entry] = []
        self._told: str | None = None  # of a jump that is to be told
        if after is None:
            self._skip(0)
        else:
            self.number = after
            if after + 1 < tape.oldest:
                self._jump()

    def next(self) -> tuple[Message, ...] | None:
        """The messages to send next, None while there is nothing.

        Who is more than `behind_s` behind jumps: what it misses of the captions comes in short, and of the speech not.
        """
        told, self._told = self._told, None
        if told is not None:
            return (told,)
        while True:
            if self._waiting:
                entry = self._waiting.pop(0)
            else:
                entry = self._tape.get(self.number + 1)
                if entry is None:
                    if self.number >= self._tape.newest:
                        return None
                    self._jump()
                    return self.next()
                if entry.number > self._patient_until and self._now() - entry.at_s > self._behind_s:
                    self._jump()
                    return self.next()
                self.number += 1
            messages = self._wanted(entry)
            if messages:
                if entry.number > self._patient_until:
                    self.lag_s = self._now() - entry.at_s
                return messages

    def _jump(self) -> None:
        """Go to the present, and say so."""
        first = self._tape.get(self.number + 1)
        skipped_s = self._tape.kept_s if first is None else self._now() - first.at_s
        after = self.number
        self.jumps += 1
        self._skip(after)
        self._told = jump(after, self.number, 1000 * skipped_s)

    def _skip(self, after: int) -> None:
        """Go to the present, the captions in short."""
        self._waiting = list(self._tape.in_short(after, self._now() - self._tape.kept_s))
        self.number = self._patient_until = self._tape.newest

    def _wanted(self, entry: Entry) -> tuple[Message, ...]:
        if entry.lang is not None:
            return entry.messages if self.wish.reads(entry.lang, self._source) else ()
        coding = self.wish.coding
        return entry.messages or (entry.coded.get(coding, ()) if coding is not None else ())
