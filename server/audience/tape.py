"""What was said in a room of late: the last minute, by number, for who comes late, comes back or is behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamst.server.wire.seam import AudioCodec, Message


@dataclass(frozen=True)
class Coding:
    """How speech is coded for some of the listeners."""

    codec: AudioCodec = "pcm16"
    bitrate_bps: int | None = None  # None: the codec's own choice


@dataclass(frozen=True)
class Entry:
    """One event of a room, as the messages that tell it."""

    number: int  # the `n` of its messages, from 1
    at_s: float  # when it was said, on the tape's clock
    messages: tuple[Message, ...] = ()  # for everybody; of a caption, for who reads its language
    lang: str | None = None  # of a caption
    segment: int = -1  # of a caption
    coded: dict[Coding, tuple[Message, ...]] = field(default_factory=dict)  # of speech


class Tape:
    """Entries of the last `kept_s` seconds, at most `most`, with numbers that follow one another."""

    def __init__(self, kept_s: float, most: int = 4096, newest: int = 0) -> None:
        """newest: number of the last entry that was never here."""
        self.kept_s, self.most = kept_s, most
        self.newest = newest  # number of the last entry
        self._entries: deque[Entry] = deque()

    @property
    def oldest(self) -> int:
        """Number of the first entry that is kept; `newest` + 1 when none is."""
        return self.newest - len(self._entries) + 1

    def append(self, entry: Entry) -> None:
        """Keep the next entry, and forget what is too old."""
        assert entry.number == self.newest + 1, (entry.number, self.newest)
        self._entries.append(entry)
        self.newest = entry.number
        while len(self._entries) > self.most or entry.at_s - self._entries[0].at_s > self.kept_s:
            self._entries.popleft()

    def pass_over(self, until: int, at_s: float) -> None:
        """Numbers up to `until`, that one not among them, of which nothing is known here."""
        if until - 1 - self.newest > self.most:
            self._entries.clear()
            self.newest = until - 1
        while self.newest < until - 1:
            self.append(Entry(self.newest + 1, at_s))

    def get(self, number: int) -> Entry | None:
        """The entry, where it is kept."""
        return self._entries[number - self.oldest] if self.oldest <= number <= self.newest else None

    def in_short(self, after: int, since_s: float) -> Iterator[Entry]:
        """What came after number `after` and not before `since_s`, in order, without speech, and only the newest
        caption of each segment and language: all that it takes to read on."""
        newest: dict[tuple[int, str | None], Entry] = {}
        for entry in self._entries:
            if entry.number > after and entry.at_s >= since_s and entry.messages:
                newest[entry.segment, entry.lang] = entry
        return iter(sorted(newest.values(), key=lambda entry: entry.number))
