"""Close codes: what each means, what it is called, and whether trying again can help.

RFC 6455 section 7.4.1 for 1000-1015; 4400 and up are ours and follow HTTP's numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

DONE = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
WRONG_FRAME = 1003
BAD_DATA = 1007
POLICY = 1008
TOO_BIG = 1009
INTERNAL = 1011
OVERLOADED = 1013
BAD_PARAMETER = 4400
UNAUTHORISED = 4401
IDLE = 4408
SUPERSEDED = 4409
EXPIRED = 4410
TOO_FAST = 4413
QUOTA = 4429


@dataclass(frozen=True)
class Meaning:
    """One close code in words."""

    name: str  # what a program compares
    retryable: bool  # the same client may try again later, or elsewhere


MEANINGS: dict[int, Meaning] = {
    DONE: Meaning("done", False),
    GOING_AWAY: Meaning("going_away", True),
    PROTOCOL_ERROR: Meaning("protocol_error", False),
    WRONG_FRAME: Meaning("wrong_frame_type", False),
    BAD_DATA: Meaning("bad_data", False),
    POLICY: Meaning("policy", False),
    TOO_BIG: Meaning("too_big", False),
    INTERNAL: Meaning("internal", True),
    OVERLOADED: Meaning("overloaded", True),
    BAD_PARAMETER: Meaning("bad_parameter", False),
    UNAUTHORISED: Meaning("unauthorised", False),
    IDLE: Meaning("idle", True),
    SUPERSEDED: Meaning("superseded", False),
    EXPIRED: Meaning("resume_expired", False),
    TOO_FAST: Meaning("too_fast", False),
    QUOTA: Meaning("quota", True),
}


HTTP_STATUS = {
    BAD_PARAMETER: 400, BAD_DATA: 400, WRONG_FRAME: 400, UNAUTHORISED: 401, POLICY: 403, IDLE: 408, EXPIRED: 410,
    TOO_BIG: 413, QUOTA: 429, INTERNAL: 500, OVERLOADED: 503, GOING_AWAY: 503,
}  # fmt: skip
"""How a refusal with this code is told before there is a connection to close."""


def meaning(code: int) -> Meaning:
    """What `code` means; an unknown one is "unknown" and not worth a retry."""
    return MEANINGS.get(code, Meaning("unknown", False))
