"""What a session said and its client may not have got yet, so that a cut connection loses nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from streamst.server.wire.seam import Message


class Replay:
    """Answers by number, from 1, each as the messages that say it; when full, sent ones are forgotten."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.newest = 0  # number of the last answer
        self.sent = 0  # up to here it was given to a socket, be it by another node that had said more
        self.bytes = 0
        self._kept: deque[tuple[list[Message], int]] = deque()  # ends with number `newest`

    @property
    def oldest(self) -> int:
        """Number of the first answer that is kept; `newest` + 1 when none is."""
        return self.newest - len(self._kept) + 1

    @property
    def unsent(self) -> int:
        """Answers that wait for a socket."""
        return max(0, self.newest - self.sent)

    @property
    def catching_up(self) -> bool:
        """Whether the client has answers that are still to be said again here."""
        return self.sent > self.newest

    @property
    def kept(self) -> tuple[list[Message], ...]:
        """The messages of the answers that are kept, up to `newest`."""
        return tuple(messages for messages, _ in self._kept)

    def go_on(self, newest: int, kept: Iterable[list[Message]], client_has: int) -> bool:
        """Be where another node was: its last answer was `newest`, the client has those up to `client_has`, be they
        later ones; False when some that the client lacks are not among the `kept`."""
        for messages in kept:
            self.append(messages)
        self.newest = newest
        self.sent = client_has
        return client_has + 1 >= self.oldest

    def append(self, messages: list[Message]) -> int:
        """Keep the next answer; returns its number."""
        size = sum(map(len, messages))
        self._kept.append((messages, size))
        self.bytes += size
        self.newest += 1
        self._make_room()
        return self.newest

    def next(self) -> list[Message] | None:
        """The messages of the first answer that was not sent, None when all were. `advance` says that it was."""
        return self._kept[self.sent + 1 - self.oldest][0] if self.unsent else None

    def advance(self) -> None:
        """One more answer was sent; make room if there is none."""
        self.sent += 1
        self._make_room()

    def reached(self, number: int) -> None:
        """The client has got everything up to `number`; ValueError when that was never said."""
        self._require_said(number)
        while self._kept and self.oldest <= min(number, self.sent):
            self._forget_oldest()

    def rewind(self, number: int) -> bool:
        """Send again what follows `number`; False when some of it is no longer kept. ValueError as in `reached`."""
        self._require_said(number)
        if number + 1 < self.oldest:
            return False
        self.sent = number
        return True

    def _require_said(self, number: int) -> None:
        last = max(self.newest, self.sent)
        if not 0 <= number <= last:
            raise ValueError(f"answer {number} was never said; the last one is {last}")

    def _make_room(self) -> None:
        while self._kept and self.bytes > self.max_bytes and self.oldest <= self.sent:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self.bytes -= self._kept.popleft()[1]
