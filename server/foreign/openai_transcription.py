"""OpenAI's realtime transcription without I/O: `/v1/realtime?intent=transcription`.

The client says `session.update`, `input_audio_buffer.append`, `commit` and `clear`; the server `session.created`,
`session.updated`, `input_audio_buffer.speech_started`, `speech_stopped`, `committed` and `cleared`,
`conversation.item.input_audio_transcription.delta` and `completed`, and `error`. With turn detection an item is one of
our segments, which end where the speaker pauses; without (null) it is what comes until the client commits. The names of
`transcription.delay` are those of our latency dial. `transcription.keywords` are terms to be heard, and so are the
pieces of a `prompt` that is a list; what cannot be used of them is told in an `error` event.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from streamst.events import Caption
from streamst.server.wire.g711 import alaw_to_pcm16, mulaw_to_pcm16
from streamst.server.wire.glossary import TOLD_TERMS
from streamst.server.wire.seam import (
    Acknowledged,
    Answer,
    Closed,
    Command,
    Configure,
    Configured,
    Message,
    Offer,
    Reply,
    Settings,
)

from .appended import Appended
from .openai_wire import RATE_HZ, OpenAIProtocol, Refused, asked_session, language, part, read_audio, text_in, unknown

Marker = Literal["", "update", "commit", "clear"]  # what a Configure on its way was sent for
RATES_HZ = {"audio/pcm": RATE_HZ, "audio/pcmu": 8000, "audio/pcma": 8000}
LEAST_COMMIT_MS = 100.0
LONGEST_TERM_WORDS = 5  # in a prompt that lists terms
TURN_DETECTIONS = ("server_vad", "semantic_vad")
NAME = "conversation.item.input_audio_transcription"


@dataclass
class _Item:
    """One turn: what was told of it."""

    id: str
    from_ms: float = 0.0
    text: list[str] = field(default_factory=list)
    deltas: Appended = field(default_factory=Appended)


class OpenAITranscription(OpenAIProtocol):
    """One connection's transcription session."""

    def __init__(
        self,
        settings: Settings,
        expires_at: int,
        max_text_bytes: int,
        subprotocol: str | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """expires_at: when the session ends at the latest [Unix time]."""
        settings = replace(settings, output=("captions",), sample_rate_hz=RATE_HZ)
        super().__init__(settings, expires_at, max_text_bytes, subprotocol, new_id)
        self._delays: tuple[str, ...] = ()
        self._format = "audio/pcm"
        self._transcription: dict[str, Any] = {"model": None, "language": None, "delay": settings.latency}
        self._unused = ""  # of the prompt
        self._detects: str | None = "server_vad"
        self._waiting: deque[Marker] = deque([""])  # of the Configures on their way
        self._uncommitted_ms = 0.0
        self._item: _Item | None = None
        self._previous_id: str | None = None
        self._completed_since_commit = False
        self._processed_ms = 0.0

    def _take(self, kind: str, fields: dict[str, Any]) -> list[Command]:
        match kind:
            case "session.update":
                return self._update(fields)
            case "input_audio_buffer.append":
                return self._append(fields)
            case "input_audio_buffer.commit":
                return self._commit()
            case "input_audio_buffer.clear":
                self._uncommitted_ms = 0.0
                return [self._configure("clear")]
            case _:
                raise unknown(kind, "session.update, input_audio_buffer.append, commit, clear")

    def _tell(self, answer: Answer) -> list[Message]:
        match answer:
            case Configured():
                return self._configured(self._waiting.popleft() if self._waiting else "", answer)
            case Caption():
                return self._heard(answer) if answer.lang == self._source and not self._cleared else []
            case Acknowledged():
                self._processed_ms = answer.processed_ms
                return []
            case Closed():
                return self._complete(self._processed_ms) if self._item is not None and self._item.text else []
            case _:
                return []

    def _offered(self, offer: Offer) -> None:
        self._delays = offer.latencies

    def _update(self, fields: dict[str, Any]) -> list[Command]:
        asked = asked_session(fields)
        if text_in(asked, "type", "session") not in (None, "transcription"):
            raise Refused(f"session.type: {asked['type']!r}; allowed here: transcription", param="session.type")
        heard = part(asked, "audio.input", "session") or {}
        wished_format = self._read_format(heard)
        transcription = self._read_transcription(heard)
        if "turn_detection" in heard:
            self._detects = _read_detection(heard)
        self._transcription, self._format = transcription, wished_format
        latency = transcription["delay"] or self.settings.latency
        listed, self._unused = terms_in(transcription.get("prompt") or "")
        glossary = tuple((term, "") for term in dict.fromkeys([*transcription.get("keywords", ()), *listed]))
        settings = replace(self.settings, latency=latency, sample_rate_hz=RATES_HZ[wished_format], glossary=glossary)
        if settings == self.settings:
            return [Reply((self._updated(), *self._told_unused()))]
        self.settings = settings
        return [self._configure("update")]

    def _read_format(self, heard: dict[str, Any]) -> str:
        wished = part(heard, "format", "session.audio.input")
        where = "session.audio.input.format"
        if wished is None:
            return self._format
        kind = text_in(wished, "type", where) or "audio/pcm"
        if kind not in RATES_HZ:
            raise Refused(f"{where}.type: {kind!r}; allowed: {', '.join(RATES_HZ)}", param=f"{where}.type")
        if wished.get("rate", RATES_HZ[kind]) != RATES_HZ[kind]:
            reason = f"{where}.rate: {wished['rate']!r}; {kind} has {RATES_HZ[kind]}"
            raise Refused(reason, param=f"{where}.rate")
        return kind

    def _read_transcription(self, heard: dict[str, Any]) -> dict[str, Any]:
        wished = part(heard, "transcription", "session.audio.input")
        where = "session.audio.input.transcription"
        if wished is None:
            return self._transcription
        spoken, delay = text_in(wished, "language", where), text_in(wished, "delay", where)
        if spoken is not None:
            language(spoken, (self._source,), f"{where}.language")
        if delay is not None and delay not in self._delays:
            raise Refused(f"{where}.delay: {delay!r}; allowed: {', '.join(self._delays)}", param=f"{where}.delay")
        held = self._transcription
        model = text_in(wished, "model", where) or held["model"]
        told = {"model": model, "language": spoken or held["language"], "delay": delay or held["delay"]}
        lists = {name: _texts_in(wished, name, where) for name in ("keywords", "languages")}
        if lists["languages"] and self._source not in map(_base, lists["languages"]):
            reason = f"{where}.languages: {lists['languages']}; allowed: {self._source}"
            raise Refused(reason, param=f"{where}.languages")
        prompt = text_in(wished, "prompt", where)
        given: dict[str, Any] = {"keywords": lists["keywords"], "prompt": prompt}
        given["languages"] = [self._source] if lists["languages"] else lists["languages"]
        kept = {name: held[name] for name in given if given[name] is None and name in held}
        return told | {name: value for name, value in given.items() if value is not None} | kept

    def _append(self, fields: dict[str, Any]) -> list[Command]:
        payload = read_audio(fields, 2 if self._format == "audio/pcm" else 1)
        if self._format != "audio/pcm":
            payload = mulaw_to_pcm16(payload) if self._format == "audio/pcmu" else alaw_to_pcm16(payload)
        self._uncommitted_ms += len(payload) / 2 / self.settings.sample_rate_hz * 1000
        return self.pcm16(payload)

    def _commit(self) -> list[Command]:
        if self._uncommitted_ms < LEAST_COMMIT_MS:
            raise Refused(
                f"the buffer holds {self._uncommitted_ms:.0f} ms of audio; {LEAST_COMMIT_MS:.0f} ms are needed",
                "input_audio_buffer_commit_empty",
            )
        self._uncommitted_ms = 0.0
        self._completed_since_commit = False
        return [self._configure("commit")]

    def _configure(self, marker: Marker) -> Configure:
        """`marker` tells what to say once it has its effect; what was heard is flushed before the end of an item."""
        self._waiting.append(marker)
        return Configure(self.settings, flush=marker != "update")

    @property
    def _cleared(self) -> bool:
        """Whether what is told now was cleared, and not committed before that."""
        return next((marker for marker in self._waiting if marker in ("commit", "clear")), "") == "clear"

    def _told_unused(self) -> list[Message]:
        where = "session.audio.input.transcription.prompt"
        return [self._events.refusal(Refused(self._unused, "prompt_not_used", where), None)] if self._unused else []

    def _left_out(self, configured: Configured) -> list[Message]:
        """Which terms cannot be used."""
        count, most = len(configured.left_out), TOLD_TERMS
        if not count:
            return []
        named = "; ".join(f"{one.source!r:.100}: {one.reason}" for one in configured.left_out[:most])
        reason = f"{count} of {len(self.settings.glossary)} keywords cannot be used: {named}"
        refused = Refused(reason, "keywords_left_out", "session.audio.input.transcription.keywords")
        return [self._events.refusal(refused, None)]

    def _configured(self, marker: Marker, configured: Configured) -> list[Message]:
        match marker:
            case "update":
                return [self._updated(), *self._left_out(configured), *self._told_unused()]
            case "clear":
                self._item = None
                return [self._events.make("input_audio_buffer.cleared")]
            case "commit":
                done = self._detects is not None and self._completed_since_commit and self._item is None
                return [] if done else self._complete(self._processed_ms)
            case _:
                return []

    def _heard(self, caption: Caption) -> list[Message]:
        """Events for a caption of the source."""
        begins = self._item is None
        item = self._item or self._begin(caption.start_ms)
        delta = item.deltas.delta(caption)
        messages: list[Message] = []
        if delta:
            self._item = item
            if begins and self._detects is not None:
                start = self._events.make(
                    "input_audio_buffer.speech_started", audio_start_ms=round(caption.start_ms), item_id=item.id
                )
                messages.append(start)
            item.text.append(delta)
            messages.append(self._events.make(f"{NAME}.delta", item_id=item.id, content_index=0, delta=delta))
        if caption.final and self._detects is not None and self._item is not None:
            stop = self._events.make(
                "input_audio_buffer.speech_stopped", audio_end_ms=round(caption.end_ms), item_id=item.id
            )
            messages += [stop, *self._complete(caption.end_ms)]
        return messages

    def _begin(self, from_ms: float) -> _Item:
        return _Item(f"item_{self._events.new_id()}", from_ms)

    def _complete(self, end_ms: float) -> list[Message]:
        """The open item, or an empty one, is committed and complete."""
        item, self._item = self._item or self._begin(end_ms), None
        previous, self._previous_id = self._previous_id, item.id
        self._completed_since_commit = True
        usage = {"type": "duration", "seconds": round(max(0.0, end_ms - item.from_ms) / 1000, 3)}
        said = "".join(item.text)
        return [
            self._events.make("input_audio_buffer.committed", previous_item_id=previous, item_id=item.id),
            self._events.make(f"{NAME}.completed", item_id=item.id, content_index=0, transcript=said, usage=usage),
        ]

    def _session(self) -> dict[str, Any]:
        heard = {
            "format": {"type": self._format, **({"rate": RATE_HZ} if self._format == "audio/pcm" else {})},
            "transcription": self._transcription,
            "noise_reduction": None,
            "turn_detection": None if self._detects is None else {"type": self._detects},
        }
        told = {"type": "transcription", "id": self._session_id, "object": "realtime.transcription_session"}
        return {**told, "expires_at": self._expires_at, "audio": {"input": heard}}


def terms_in(prompt: str) -> tuple[list[str], str]:
    """The terms that a prompt lists, between commas, semicolons or line breaks, and why it is not used: "" where it
    is."""
    pieces = [piece.strip().rstrip(".") for piece in re.split(r"[,;\n]", prompt)]
    listed = [piece for piece in pieces if piece]
    if any(len(piece.split()) > LONGEST_TERM_WORDS for piece in listed):
        return [], f"prompt: only a list of terms can be used here, of at most {LONGEST_TERM_WORDS} words each"
    return listed, ""


def _texts_in(fields: dict[str, Any], name: str, path: str) -> list[str] | None:
    """The list of strings `name`, None where there is none; Refused for another type."""
    value = fields.get(name)
    if value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    raise Refused(f"{path}.{name} must be a list of strings", "invalid_type", f"{path}.{name}")


def _base(tag: str) -> str:
    return tag.replace("_", "-").split("-")[0].lower()


def _read_detection(heard: dict[str, Any]) -> str | None:
    wished = part(heard, "turn_detection", "session.audio.input")
    where = "session.audio.input.turn_detection"
    kind = text_in(wished, "type", where)
    if wished is not None and kind not in TURN_DETECTIONS:
        raise Refused(f"{where}.type: {kind!r}; allowed: {', '.join(TURN_DETECTIONS)}, or null", param=f"{where}.type")
    return kind
