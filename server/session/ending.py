"""How sessions and connections end."""

from __future__ import annotations

from dataclasses import dataclass

from streamst.server.wire import codes

GONE = 1006  # nobody is there to be told


@dataclass(frozen=True)
class Ending:
    """How a session or a connection ends: the close code, and the words of the error event before any but 1000."""

    code: int
    message: str = ""
    told: bool = False  # a close frame went one way or the other already
    left: bool = False  # the client went in good order, and will not come back

    @property
    def name(self) -> str:
        """What a program compares."""
        return "vanished" if self.code == GONE else codes.meaning(self.code).name


class TooLongError(Exception):
    """What is heard lasts longer than a session may."""


def too_long(longest_s: float) -> Ending:
    """That of a session that may last no longer than `longest_s`."""
    return Ending(codes.GOING_AWAY, f"a session may last {longest_s:g} s; begin a new one")
