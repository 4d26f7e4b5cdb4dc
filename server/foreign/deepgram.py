"""Deepgram's live transcription without I/O: `/v1/listen`.

The client says binary audio and `KeepAlive`, `Finalize`, `CloseStream`; the server `Results`, `SpeechStarted`,
`UtteranceEnd`, `Metadata` and `Error`. An utterance is one of our segments, which end where the speaker pauses: while
it lasts its results are interim, and then one is final. With `extra=translate:de` each result has `translation` beside
the transcript: {"language", "transcript"}. `keyterm` and `keywords` (whose boosts do not count) name terms that are
to be heard, `extra=glossary:SOURCE=TARGET` also what they are to be translated as; those that cannot be used are told
in a `Warning`. Shapes as in the `deepgram-sdk` Python package, 7.17 (listen/v1/types).

The model tells no probabilities. `confidence` is 1 for words that never change again and 0.5 for those that may.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from streamst.errors import ProtocolError
from streamst.events import Caption
from streamst.server.wire import codes
from streamst.server.wire.glossary import TOLD_TERMS
from streamst.server.wire.native import read_object
from streamst.server.wire.numbers import whole_number
from streamst.server.wire.seam import (
    Acknowledged,
    Alive,
    Answer,
    Closed,
    Command,
    Configure,
    Configured,
    End,
    Failure,
    Message,
    Reply,
    Settings,
    Welcome,
)

from .base import ForeignProtocol
from .deepgram_audio import Decoder, check_encoding, make_decoder

IDLE_S = 10.0  # without audio or KeepAlive
UNSURE = 0.5  # confidence of a word that may still change
LEAST_UTTERANCE_END_MS = 1000
Marker = Literal["", "finalize"]  # what a Configure on its way was sent for

# The close code and reason for each of our codes; Deepgram's own names where it has one.
CLOSING: dict[int, tuple[int, str]] = {
    codes.IDLE: (1011, "NET-0001"),
    codes.INTERNAL: (1011, "NET-0000"),
    codes.BAD_DATA: (1008, "DATA-0000"),
    codes.BAD_PARAMETER: (1008, "DATA-0001"),
    codes.UNAUTHORISED: (1008, "INVALID_AUTH"),
    codes.TOO_FAST: (1008, "TOO_MANY_REQUESTS"),
    codes.QUOTA: (1008, "TOO_MANY_REQUESTS"),
}


@dataclass(frozen=True)
class Wishes:
    """What a client asks for in the address."""

    encoding: str | None = None  # None: a container, whichever it is
    sample_rate_hz: int | None = None
    interim: bool = False
    endpointing: bool = True  # tell where an utterance ends
    vad_events: bool = False
    utterance_end_ms: int | None = None
    target: str | None = None  # translate into
    terms: tuple[tuple[str, str], ...] = ()  # as in `Settings.glossary`


def read_query(
    query: Mapping[str, str],
    extras: list[str],
    source: str,
    targets: tuple[str, ...],
    keyterms: Iterable[str] = (),
    keywords: Iterable[str] = (),
) -> Wishes:
    """What the address asks for; ProtocolError 4400 for what is not possible. Options that change only how text looks
    are left alone. keyterms, keywords: all of these names."""
    encoding, rate = query.get("encoding"), query.get("sample_rate")
    spoken = query.get("language", source)
    if spoken != "multi" and _base(spoken) != source:
        raise _impossible("language", spoken, (source,))
    if whole_number(query.get("channels", "1")) != 1 or _flag(query, "multichannel", False):
        raise ProtocolError("channels: one is heard here; mix them, or open a stream for each", codes.BAD_PARAMETER)
    rate_hz = None if rate is None else whole_number(rate)
    if rate is not None and rate_hz is None:
        raise ProtocolError(f"sample_rate: {rate!r} is not a whole number of Hz", codes.BAD_PARAMETER)
    check_encoding(encoding, rate_hz)
    ends = query.get("utterance_end_ms")
    ends_ms = None if ends is None else whole_number(ends)
    if ends is not None and (ends_ms is None or ends_ms < LEAST_UTTERANCE_END_MS):
        reason = f"utterance_end_ms: {ends!r}; at least {LEAST_UTTERANCE_END_MS} are possible"
        raise ProtocolError(reason, codes.BAD_PARAMETER)
    heard = [*keyterms, *map(_unboosted, keywords)]
    return Wishes(
        encoding, rate_hz, _flag(query, "interim_results", False), query.get("endpointing", "true") != "false",
        _flag(query, "vad_events", False), ends_ms, *_read_extras(extras, targets, heard),
    )  # fmt: skip


def extras_in(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The `name:value` extras of an address, which a dictionary in Deepgram's SDK writes as `extra[name]=value`."""
    found = []
    for name, value in pairs:
        if name == "extra":
            found.append(value)
        elif name.startswith("extra[") and name.endswith("]"):
            found.append(f"{name[6:-1]}:{value}")
    return found


def _unboosted(keyword: str) -> str:
    """`word` of `word:boost`."""
    word, colon, boost = keyword.rpartition(":")
    with contextlib.suppress(ValueError):
        if colon and float(boost) == float(boost):
            return word
    return keyword


def _read_extras(
    extras: list[str], targets: tuple[str, ...], heard: list[str]
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The language to translate into, and the terms, those of `heard` without a translation unless there is one."""
    target, terms = None, dict[str, str]()
    for extra in extras:
        name, _, value = extra.partition(":")
        if name == "translate":
            target = _base(value)
            if target not in targets:
                raise _impossible("extra=translate", value, targets)
        elif name == "glossary":
            source, _, wanted = value.partition("=")
            terms[source] = wanted
        else:
            raise _impossible("extra", name, ("translate:LANGUAGE", "glossary:SOURCE=TARGET"))
    return target, tuple((dict.fromkeys(heard, "") | terms).items())


class DeepgramProtocol(ForeignProtocol):
    """One connection's transcription."""

    def __init__(
        self,
        wishes: Wishes,
        settings: Settings,
        max_text_bytes: int,
        subprotocol: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """now: Unix time [s]. ProtocolError 4400 for an encoding or a rate that is not possible."""
        super().__init__()
        self.subprotocol = subprotocol
        self.wishes, self.max_text_bytes = wishes, max_text_bytes
        self._decoder: Decoder | None = make_decoder(wishes.encoding, wishes.sample_rate_hz)
        self.settings = replace(
            settings,
            output=("captions",),
            target=wishes.target or settings.target,
            glossary=wishes.terms,
            codec="container" if self._decoder is None else "pcm16",
            sample_rate_hz=settings.sample_rate_hz if self._decoder is None else self._decoder.rate_hz,
        )
        self._created = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now()))
        self._request_id = self._source = ""
        self._sum = hashlib.sha256()
        self._waiting: deque[Marker] = deque([""])
        self._heard: Caption | None = None  # the segment's source, told last
        self._final: dict[str, Any] | None = None  # the result that waits for its translation or for a Finalize's end
        self._translated = ""
        self._word_end_s: float | None = None  # of the last word, until UtteranceEnd is said
        self._processed_s = 0.0
        self._ended = False

    def receive(self, message: Message) -> list[Command]:
        """See `WireProtocol.receive`."""
        if self._ended:
            return []
        if isinstance(message, bytes):
            return self._hear(message) if message else self._end()
        try:
            fields = read_object(message, self.max_text_bytes)
        except ProtocolError as error:
            if error.code == codes.TOO_BIG:
                raise
            return [Reply((self._error("SchemaError", str(error), message),))]
        match fields.get("type"):
            case "KeepAlive":
                return [Alive()]
            case "Finalize":
                self._waiting.append("finalize")
                return [Configure(self.settings, flush=True)]
            case "CloseStream":
                return self._end()
            case "Configure":
                return [Reply((self._configured_keyterms(fields),))]
            case kind:
                allowed = "KeepAlive, Finalize, CloseStream, Configure"
                reason = f"message type {kind!r} is not known; allowed: {allowed}"
                return [Reply((self._error("SchemaError", reason, message),))]

    def render(self, answer: Answer, _: float, /) -> list[Message]:
        """See `WireProtocol.render`."""
        match answer:
            case Welcome():
                self._request_id, self._source = answer.session_id, answer.offer.source
                return []
            case Configured():
                marker = self._waiting.popleft() if self._waiting else ""
                return self._finalized() if marker == "finalize" else self._left_out(answer)
            case Caption():
                return self._source_caption(answer) if answer.lang == self._source else self._target_caption(answer)
            case Acknowledged():
                self._processed_s = answer.processed_ms / 1000
                return [*self._release(), *self._utterance_end(self._processed_s)]
            case Closed():
                self._processed_s = max(self._processed_s, answer.summary.audio_ms / 1000)
                return [*self._release(), self._metadata()]
            case Failure():
                return [self._error(self.closing(answer.code, "")[1].partition(":")[0], answer.message)]
            case _:
                return []

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """See `WireProtocol.closing`."""
        close, name = CLOSING.get(code, (code, codes.meaning(code).name))
        return (close, "") if code == codes.DONE else (close, f"{name}: {reason}")

    def _end(self) -> list[Command]:
        self._ended = True  # what still comes is not heard, nor counted
        return [End()]

    def _hear(self, message: bytes) -> list[Command]:
        self._sum.update(message)
        if self._decoder is None:
            return self.container(message)
        return self.pcm16(self._decoder.decode(message)) or [Alive()]

    def _source_caption(self, caption: Caption) -> list[Message]:
        messages = self._release()
        if not caption.stable and not caption.unstable:
            return messages
        if self._heard is not None and self._heard.segment != caption.segment:
            messages += self._utterance_end((caption.spans_ms[0][0] if caption.spans_ms else caption.start_ms) / 1000)
        if self.wishes.vad_events and (self._heard is None or self._heard.segment != caption.segment):
            at_s = round(caption.start_ms / 1000, 3)
            messages.append(_text("SpeechStarted", channel=[0, 1], timestamp=at_s))
        self._heard = caption
        self._word_end_s = caption.end_ms / 1000
        result = self._result(caption)
        if caption.final:
            self._final = result
        elif self.wishes.interim:
            messages.append(_text("Results", **result))
        return messages

    def _target_caption(self, caption: Caption) -> list[Message]:
        """The translation joins the result of its segment."""
        if self.wishes.target is None:
            return []
        self._translated = " ".join(part for part in (caption.stable, caption.unstable) if part)
        if self._final is not None:
            self._final["translation"] = self._translation()
        elif self.wishes.interim and self._heard is not None and not caption.final:
            return [_text("Results", **self._result(self._heard))]
        return []

    def _result(self, caption: Caption) -> dict[str, Any]:
        texts = [*caption.stable.split(), *caption.unstable.split()]
        sure = len(caption.stable.split())
        words = [
            {
                "word": text.strip(".,!?;:").lower() or text,
                "start": round(start / 1000, 3),
                "end": round(end / 1000, 3),
                "confidence": 1.0 if at < sure else UNSURE,
                "punctuated_word": text,
            }
            for at, (text, (start, end)) in enumerate(zip(texts, caption.spans_ms, strict=False))
        ]
        confidence = (sure + UNSURE * (len(texts) - sure)) / len(texts) if texts else 0.0
        best = {"transcript": " ".join(texts), "confidence": round(confidence, 3), "words": words}
        start_s = min(caption.start_ms / 1000, caption.source_ms / 1000)
        result: dict[str, Any] = {
            "channel_index": [0, 1],
            "start": round(start_s, 3),
            "duration": round(max(0.0, caption.end_ms / 1000 - start_s), 3),
            "is_final": caption.final,
            "speech_final": caption.final and self.wishes.endpointing,
            "from_finalize": False,
            "channel": {"alternatives": [best]},
            "metadata": self._about(),
        }
        return result if self.wishes.target is None else {**result, "translation": self._translation()}

    def _translation(self) -> dict[str, str]:
        return {"language": self.wishes.target or "", "transcript": self._translated}

    def _release(self, from_finalize: bool = False) -> list[Message]:
        """The final result that waited, if any."""
        if self._final is None:
            return []
        result, self._final, self._translated = self._final, None, ""
        return [_text("Results", **{**result, "from_finalize": from_finalize})]

    def _finalized(self) -> list[Message]:
        """What Finalize flushed; a result without words where nothing was left."""
        held = self._release(from_finalize=True)
        if held:
            return held
        at_ms = self._processed_s * 1000
        empty = Caption(
            source_ms=at_ms, compute_ms=0.0, lang=self._source, segment=0, revision=0, stable="",
            start_ms=at_ms, end_ms=at_ms, final=True,
        )  # fmt: skip
        return [_text("Results", **{**self._result(empty), "from_finalize": True})]

    def _utterance_end(self, silent_until_s: float) -> list[Message]:
        """That a closed utterance has been followed by silence for as long as the client asked for."""
        after_ms, end_s = self.wishes.utterance_end_ms, self._word_end_s
        closed = self._heard is not None and self._heard.final
        if after_ms is None or end_s is None or not closed or silent_until_s < end_s + after_ms / 1000:
            return []
        self._word_end_s = None
        return [_text("UtteranceEnd", channel=[0, 1], last_word_end=round(end_s, 3))]

    def _metadata(self) -> str:
        about = self._about()
        sent_s = self._samples / self.settings.sample_rate_hz
        duration = round(self._processed_s if self._decoder is None else sent_s, 6)
        return _text(
            "Metadata", transaction_key="deprecated", request_id=self._request_id, sha256=self._sum.hexdigest(),
            created=self._created, duration=duration, channels=1, models=[about["model_uuid"]],
            model_info={about["model_uuid"]: about["model_info"]},
        )  # fmt: skip

    def _about(self) -> dict[str, Any]:
        info = {"name": "streamst", "version": "1", "arch": "conformer"}
        return {"request_id": self._request_id, "model_info": info, "model_uuid": "streamst"}

    def _left_out(self, configured: Configured) -> list[Message]:
        """Which terms cannot be used."""
        count = len(configured.left_out)
        if not count:
            return []
        named = "; ".join(f"{one.source!r:.100}: {one.reason}" for one in configured.left_out[:TOLD_TERMS])
        more = f"; and {count - TOLD_TERMS} more" if count > TOLD_TERMS else ""
        reason = f"{count} of {len(self.settings.glossary)} terms cannot be used as they are: {named}{more}"
        return [_text("Warning", code="KEYTERMS_LEFT_OUT", description=reason)]

    def _configured_keyterms(self, fields: dict[str, Any]) -> str:
        if fields.get("keyterms"):
            reason = "keyterms cannot be changed in a stream here"
            code = "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
            return _text("ConfigureFailure", request_id=self._request_id, code=code, description=reason)
        return _text("ConfigureSuccess", request_id=self._request_id)

    def _error(self, variant: str, description: str, message: str | None = None) -> str:
        quoted = {} if message is None else {"message": message[:400]}
        return _text("Error", variant=variant, description=description, **quoted)


def _text(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, allow_nan=False)


def _base(tag: str) -> str:
    return tag.replace("_", "-").split("-")[0].lower()


def _flag(query: Mapping[str, str], name: str, default: bool) -> bool:
    value = query.get(name, "true" if default else "false").lower()
    if value not in ("true", "false"):
        raise _impossible(name, value, ("true", "false"))
    return value == "true"


def _impossible(name: str, value: str, allowed: tuple[str, ...]) -> ProtocolError:
    return ProtocolError(f"{name}: {value!r}; allowed: {', '.join(allowed)}", codes.BAD_PARAMETER)
