"""OpenAI's realtime translation without I/O: `/v1/realtime/translations?model=`.

The client says `session.update`, `session.input_audio_buffer.append` and `session.close`; the server `session.created`,
`session.updated`, `session.input_transcript.delta` (where `audio.input.transcription` is set),
`session.output_transcript.delta`, `session.output_audio.delta`, `session.closed` and `error`. Deltas are append-only:
text that never changes again. An event that is not possible is told and leaves the session open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from streamst.audio import Pcm, Resampler, from_pcm16, to_pcm16
from streamst.events import Caption
from streamst.server.wire.seam import (
    Answer,
    Closed,
    Command,
    Configure,
    Configured,
    End,
    Message,
    Offer,
    Reply,
    Settings,
    Spoken,
)

from .appended import Appended
from .openai_wire import (
    RATE_HZ,
    OpenAIProtocol,
    Refused,
    asked_session,
    encode_audio,
    language,
    part,
    read_audio,
    text_in,
    unknown,
)

FRAME_MS = 200  # of `elapsed_ms`, and the longest piece of speech in one event


class OpenAITranslation(OpenAIProtocol):
    """One connection's translation session."""

    def __init__(
        self,
        model: str,
        settings: Settings,
        expires_at: int,
        max_text_bytes: int,
        subprotocol: str | None = None,
        transcription: dict[str, Any] | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """settings: as agreed on before, with a target. expires_at: when the session ends at the latest [Unix time]."""
        assert settings.target is not None
        settings = replace(settings, output=("captions", "audio"), sample_rate_hz=RATE_HZ)
        super().__init__(settings, expires_at, max_text_bytes, subprotocol, new_id)
        self._model, self._targets = model, (settings.target or "",)
        self._transcription = transcription
        self._updates = deque([False])  # for each Configure on its way, whether a session.updated answers it
        self._texts = {"input": Appended(), "output": Appended()}
        self._resampler: Resampler | None = None
        self._spoken_ms = 0.0

    def _take(self, kind: str, fields: dict[str, Any]) -> list[Command]:
        match kind:
            case "session.update":
                return self._update(fields)
            case "session.input_audio_buffer.append":
                return self.pcm16(read_audio(fields))
            case "session.close":
                return [End()]
            case _:
                raise unknown(kind, "session.update, session.input_audio_buffer.append, session.close")

    def _tell(self, answer: Answer) -> list[Message]:
        match answer:
            case Configured():
                told = self._updates.popleft() if self._updates else False
                return [self._updated()] if told else []
            case Caption():
                return self._transcript(answer)
            case Spoken():
                self._spoken_ms = answer.source_ms
                if self._resampler is None:
                    self._resampler = Resampler(answer.sample_rate_hz, RATE_HZ)
                return self._audio(self._resampler.push(from_pcm16(answer.payload)))
            case Closed():
                rest = self._resampler.push(np.zeros(0, np.float32), final=True) if self._resampler else None
                return [*([] if rest is None else self._audio(rest)), self._events.make("session.closed")]
            case _:
                return []

    def _offered(self, offer: Offer) -> None:
        self._targets = offer.targets

    def _update(self, fields: dict[str, Any]) -> list[Command]:
        asked = asked_session(fields)
        transcription, target = read_session(asked, self._targets, self._model)
        heard = part(asked, "audio.input", "session")
        if heard is not None and "transcription" in heard:
            self._transcription = transcription
        if target is None or target == self.settings.target:
            return [Reply((self._updated(),))]
        self.settings = replace(self.settings, target=target)
        self._updates.append(True)
        return [Configure(self.settings)]

    def _transcript(self, caption: Caption) -> list[Message]:
        side = "input" if caption.lang == self._source else "output"
        delta = self._texts[side].delta(caption)
        if not delta or (side == "input" and self._transcription is None):
            return []
        kind = f"session.{side}_transcript.delta"
        return [self._events.make(kind, delta=delta, elapsed_ms=_elapsed_ms(caption.source_ms))]

    def _audio(self, pcm: Pcm) -> list[Message]:
        size = RATE_HZ * FRAME_MS // 1000
        told = {"sample_rate": RATE_HZ, "channels": 1, "format": "pcm16", "elapsed_ms": _elapsed_ms(self._spoken_ms)}
        return [
            self._events.make("session.output_audio.delta", delta=encode_audio(to_pcm16(pcm[at : at + size])), **told)
            for at in range(0, len(pcm), size)
        ]

    def _session(self) -> dict[str, Any]:
        return session_object(
            self._session_id, self._model, self._expires_at, self.settings.target or "", self._transcription
        )


def read_session(
    asked: dict[str, Any], targets: tuple[str, ...], model: str
) -> tuple[dict[str, Any] | None, str | None]:
    """The transcription and the target that a session object asks for; Refused for what is not possible."""
    kind = text_in(asked, "type", "session")
    if kind not in (None, "translation"):
        raise Refused(f"session.type: {kind!r} is not translation, and cannot be changed", param="session.type")
    if text_in(asked, "model", "session") not in (None, model):
        raise Refused("session.model cannot be changed in a session", param="session.model")
    transcription = part(asked, "audio.input.transcription", "session")
    if transcription is not None:
        transcription = {"model": text_in(transcription, "model", "session.audio.input.transcription")}
    wanted = text_in(part(asked, "audio.output", "session"), "language", "session.audio.output")
    target = None if wanted is None else language(wanted, targets, "session.audio.output.language")
    return transcription, target


def session_object(
    session_id: str, model: str, expires_at: int, target: str, transcription: dict[str, Any] | None
) -> dict[str, Any]:
    """A session as it is told: what holds, not what was asked (nothing reduces noise here)."""
    heard = {"transcription": transcription, "noise_reduction": None}
    audio = {"input": heard, "output": {"language": target}}
    return {"id": session_id, "type": "translation", "model": model, "expires_at": expires_at, "audio": audio}


def _elapsed_ms(source_ms: float) -> int:
    return int(source_ms) // FRAME_MS * FRAME_MS
