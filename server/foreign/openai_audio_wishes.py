"""What a form asks of `/v1/audio/...`, and the answers in OpenAI's shapes. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamst.events import Caption
from streamst.languages.catalog import language_name
from streamst.server.wire.multipart import Form
from streamst.subtitles import CaptionTrack, srt, vtt

from .openai_transcription import terms_in
from .openai_wire import Refused, language

FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
TEXTS = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}


@dataclass(frozen=True)
class Wishes:
    """One request."""

    lang: str  # of the text that is answered
    target: str
    form: str
    streams: bool
    words: bool  # with times
    terms: tuple[str, ...]  # that are to be heard
    file: bytes


def read_wishes(form: Form, translates: bool, source: str, targets: Sequence[str]) -> Wishes:
    """What a form asks for; Refused names what is not possible.

    `language` is what is spoken, for a translation what is written: OpenAI's is always English, ours the target's.
    """
    if not form.files.get("file"):
        raise Refused("file is missing, or empty", "missing_required_parameter", "file")
    if not form.text("model"):
        raise Refused("model is missing", "missing_required_parameter", "model")
    kind = form.text("response_format") or "json"
    if kind not in FORMATS:
        raise Refused(f"response_format: {kind!r}; allowed: {', '.join(FORMATS)}", param="response_format")
    asked, allowed = form.text("language"), tuple(targets) if translates else (source,)
    lang = language(asked, allowed, "language") if asked else allowed[0]
    streams = (form.text("stream") or "false").lower()
    if streams not in ("true", "false", "1", "0"):
        raise Refused(f"stream: {streams!r}; allowed: true, false", param="stream")
    granularities = form.fields.get("timestamp_granularities[]", form.fields.get("timestamp_granularities", []))
    for one in granularities:
        if one not in ("word", "segment"):
            raise Refused(f"timestamp_granularities: {one!r}; allowed: word, segment", param="timestamp_granularities")
    if "word" in granularities and (translates or kind != "verbose_json"):
        reason = "words have times in transcriptions as verbose_json only"
        raise Refused(reason, param="timestamp_granularities")
    terms, unused = terms_in(form.text("prompt") or "")
    if unused:
        raise Refused(unused, "prompt_not_used", "prompt")
    return Wishes(
        lang, lang if translates else targets[0], kind, streams in ("true", "1"), "word" in granularities,
        tuple(terms), form.files["file"],
    )  # fmt: skip


class Answered:
    """The captions of a recording, as they come."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self._track = CaptionTrack()
        self._segments: dict[int, Caption] = {}

    def add(self, caption: Caption) -> None:
        """A caption of any language."""
        if caption.lang == self.wishes.lang:
            self._track.add(caption)
            self._segments[caption.segment] = caption

    @property
    def text(self) -> str:
        """All that was said."""
        return self._track.text(self.wishes.lang)

    def subtitles(self) -> str:
        """As text, SRT or WebVTT."""
        cues = self._track.cues([self.wishes.lang])
        return {"text": lambda: f"{self.text}\n", "srt": lambda: srt(cues), "vtt": lambda: vtt(cues)}[
            self.wishes.form
        ]()

    def whole(self, duration_s: float) -> dict[str, Any]:
        """As json or verbose_json. The model tells no probabilities: those of segments are zeros."""
        if self.wishes.form == "json":
            return {"text": self.text}
        said = [caption for _, caption in sorted(self._segments.items()) if caption.stable.strip()]
        told: dict[str, Any] = {
            "task": "transcribe" if self.wishes.lang != self.wishes.target else "translate",
            "language": language_name(self.wishes.lang).lower(),
            "duration": round(duration_s, 3),
            "text": self.text,
            "segments": [_segment(number, caption) for number, caption in enumerate(said)],
            "usage": {"type": "duration", "seconds": round(duration_s, 3)},
        }
        if self.wishes.words:
            told["words"] = [word for caption in said for word in _words(caption)]
        return told


def _segment(number: int, caption: Caption) -> dict[str, Any]:
    zeros = {"temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 0.0, "no_speech_prob": 0.0}
    times = {"start": round(caption.start_ms / 1000, 3), "end": round(caption.end_ms / 1000, 3)}
    return {"id": number, "seek": 0, **times, "text": caption.stable.strip(), "tokens": [], **zeros}


def _words(caption: Caption) -> list[dict[str, Any]]:
    return [
        {"word": word, "start": round(begin / 1000, 3), "end": round(end / 1000, 3)}
        for word, (begin, end) in zip(caption.stable.split(), caption.spans_ms, strict=False)
    ]
