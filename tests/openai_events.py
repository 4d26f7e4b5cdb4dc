"""What tests of the realtime protocols of OpenAI share: clients that were let in, and what they are told."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

from streamst.events import Caption
from streamst.server.foreign.openai_transcription import OpenAITranscription
from streamst.server.foreign.openai_translation import OpenAITranslation
from streamst.server.wire.seam import (
    Command,
    Configured,
    Offer,
    Reply,
    Settings,
    Welcome,
)

OFFER = Offer(source="en", targets=("de", "fr"), latencies=("minimal", "low", "medium", "high", "xhigh"))
WELCOME = Welcome("1234", OFFER, {})
DEFAULTS = Settings(target="de", latency="medium")
SILENCE = base64.b64encode(bytes(4800)).decode()  # 100 ms at 24 kHz


def counted() -> Any:
    numbers = itertools.count()
    return lambda: str(next(numbers))


def translation(welcomed: bool = True) -> OpenAITranslation:
    protocol = OpenAITranslation("m", DEFAULTS, 99, 1 << 16, "realtime", new_id=counted())
    if welcomed:
        protocol.render(WELCOME, 0.0)
        protocol.render(Configured(protocol.settings, 320), 0.0)
    return protocol


def transcription() -> OpenAITranscription:
    protocol = OpenAITranscription(DEFAULTS, 99, 1 << 16, "realtime", new_id=counted())
    protocol.render(WELCOME, 0.0)
    protocol.render(Configured(protocol.settings, 320), 0.0)
    return protocol


def said(protocol: OpenAITranslation | OpenAITranscription, *answers: Any) -> list[dict[str, Any]]:
    """The events for some answers, without their identifiers."""
    events = [json.loads(message) for answer in answers for message in protocol.render(answer, 0.0)]
    assert all(event.pop("event_id").startswith("event_") for event in events)
    return events


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def refusal(commands: list[Command]) -> dict[str, Any]:
    """The error that a single reply tells."""
    (reply,) = commands
    assert isinstance(reply, Reply)
    (message,) = reply.messages
    told = json.loads(message)
    assert told["type"] == "error"
    return told["error"]


def caption(lang: str, segment: int, stable: str, final: bool = False, at_ms: float = 640.0, **more: Any) -> Caption:
    return Caption(
        source_ms=at_ms, compute_ms=1.0, lang=lang, segment=segment, revision=0, stable=stable, start_ms=100.0,
        end_ms=at_ms, final=final, **more,
    )  # fmt: skip
