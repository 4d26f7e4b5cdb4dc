"""What tests of Deepgram's protocol share: a client that was let in, and what it is told."""

from __future__ import annotations

import json
from typing import Any

from streamst.events import Caption
from streamst.server.foreign.deepgram import DeepgramProtocol, Wishes
from streamst.server.wire.seam import (
    Configured,
    Offer,
    Settings,
    Welcome,
)

WELCOME = Welcome("abcd", Offer(source="en", targets=("de",)), {})


def protocol(**wishes: Any) -> DeepgramProtocol:
    """That of a client whose session was configured."""
    asked = Wishes(**{"encoding": "linear16", "sample_rate_hz": 16_000, **wishes})
    made = DeepgramProtocol(asked, Settings(target="de", latency="medium"), 1000, now=lambda: 0.0)
    made.render(WELCOME, 0.0)
    made.render(Configured(made.settings, 320), 0.0)
    return made


def told(made: DeepgramProtocol, *answers: Any) -> list[dict[str, Any]]:
    """What the client hears of these answers."""
    return [json.loads(message) for answer in answers for message in made.render(answer, 0.0)]


def heard(segment: int, stable: str, unstable: str = "", final: bool = False, lang: str = "en") -> Caption:
    """A caption whose words take 100 ms each."""
    count = len(stable.split()) + len(unstable.split())
    spans = tuple((1000.0 * segment + 100.0 * at, 1000.0 * segment + 100.0 * at + 90.0) for at in range(count))
    return Caption(
        source_ms=1000.0 * segment + 900, compute_ms=0.0, lang=lang, segment=segment, revision=0, stable=stable,
        unstable=unstable, start_ms=1000.0 * segment, end_ms=1000.0 * segment + 100.0 * count - 10, final=final,
        spans_ms=spans if lang == "en" else (),
    )  # fmt: skip
