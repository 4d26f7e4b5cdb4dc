"""The protocol of simulstream 1.0 without I/O: `/simulstream`.

Binary messages are little-endian 16-bit mono audio; text messages are JSON objects with any of `sample_rate`,
`source_lang`, `target_lang` and `end_of_stream`, other fields being ignored. The server says `{"new", "deleted"}`,
text to append and text to take off the end before that, and after `end_of_stream` `{"end_of_processing": true}`; then
another stream may follow on the same connection. The protocol has no errors: a close code and its reason say what was
wrong.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from typing import Any

from streamst.errors import ProtocolError
from streamst.events import Caption
from streamst.server.wire import codes
from streamst.server.wire.native import read_object
from streamst.server.wire.numbers import whole_number
from streamst.server.wire.seam import Answer, Closed, Command, Configure, Configured, Message, Settings, Welcome

from .base import ForeignProtocol

DEFAULT_HZ = 16_000


class SimulstreamProtocol(ForeignProtocol):
    """One connection: any number of streams, one after the other."""

    def __init__(self, settings: Settings, max_text_bytes: int) -> None:
        super().__init__()
        self.settings = replace(settings, output=("captions",), sample_rate_hz=DEFAULT_HZ)
        self.max_text_bytes = max_text_bytes
        self._target = ""
        self._ends = deque([False])  # for each Configure on its way, whether a stream ends with it
        self._odd = b""  # half a sample that the next message completes
        self._segment = -1
        self._shown = ""  # of the segment
        self._begun = False  # whether a segment before it has text

    def receive(self, message: Message) -> list[Command]:
        """See `WireProtocol.receive`."""
        if isinstance(message, bytes):
            return self._hear(message)
        fields = read_object(message, self.max_text_bytes)
        if "end_of_stream" in fields:
            self._odd = b""
            self.settings = replace(self.settings, sample_rate_hz=DEFAULT_HZ)
            return [self._configure(ends=True)]
        settings = self.settings
        if "sample_rate" in fields:
            settings = replace(settings, sample_rate_hz=_whole(fields["sample_rate"]))
        if "source_lang" in fields:
            settings = replace(settings, source=_language(fields, "source_lang"))
        if "target_lang" in fields:
            settings = replace(settings, target=_language(fields, "target_lang"))
        if settings == self.settings:
            return []
        self.settings = settings
        return [self._configure(ends=False)]

    def render(self, answer: Answer, _: float, /) -> list[Message]:
        """See `WireProtocol.render`."""
        match answer:
            case Welcome():
                self._target = answer.offer.defaults.target
                return []
            case Configured():
                self._target = answer.settings.target or self._target
                return self._ended() if self._ends and self._ends.popleft() else []
            case Caption():
                return self._change(answer) if answer.lang == self._target else []
            case Closed():
                return self._ended()
            case _:
                return []

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """Codes of ours mean nothing to its clients: 1008 stands for all that they did wrong."""
        return (1008, f"{codes.meaning(code).name}: {reason}") if code >= 4000 else (code, reason)

    def _hear(self, message: bytes) -> list[Command]:
        payload = self._odd + message
        self._odd = payload[len(payload) // 2 * 2 :]
        return self.pcm16(payload[: len(payload) // 2 * 2])

    def _configure(self, ends: bool) -> Configure:
        self._ends.append(ends)
        return Configure(self.settings, flush=ends)

    def _change(self, caption: Caption) -> list[Message]:
        """What takes the text shown so far to the text with `caption`."""
        if caption.segment != self._segment:
            self._begun = self._begun or bool(self._shown)
            self._segment, self._shown = caption.segment, ""
        text = " ".join(part for part in (caption.stable, caption.unstable) if part)
        text = f" {text}" if text and self._begun else text
        pairs = zip(text, self._shown, strict=False)
        same = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(text), len(self._shown)))
        new, deleted = text[same:], self._shown[same:]
        self._shown = text
        return [_text({"new": new, "deleted": deleted})] if new or deleted else []

    def _ended(self) -> list[Message]:
        self._begun, self._shown = False, ""
        return [_text({"new": "", "deleted": ""}), _text({"end_of_processing": True})]


def _whole(value: Any) -> int:
    number = whole_number(value)
    if number is None:
        raise ProtocolError(f"sample_rate: {value!r} is not a whole number of Hz", codes.BAD_PARAMETER)
    return number


def _language(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise ProtocolError(f"{name}: {value!r} is not a language", codes.BAD_PARAMETER)
    return value.replace("_", "-").split("-")[0].lower()


def _text(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)
