"""StreamST as a recogniser of LiveKit Agents, which may translate: captions of both languages, no speech."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
)

from streamst.errors import StreamstError
from streamst.events import Caption
from streamst.server.wire.seam import Acknowledged, Settings

from .frames import Frames
from .livekit_errors import api_error, heard
from .talk import Talk

TYPES = stt.SpeechEventType


class StreamstSTT(stt.STT):
    """A StreamST server. With a `target_language` the text is the translation, and `source_texts` what was said."""

    def __init__(
        self,
        url: str = "ws://127.0.0.1:8000",
        *,
        language: str = "en",
        target_language: str | None = None,
        token: str | None = None,
        latency: str | None = None,
        policy: str | None = None,
        keyterms: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """As `StreamstTranslation`; target_language None only transcribes."""
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, keyterms=True, offline_recognize=True, aligned_transcript="chunk"
            )
        )  # fmt: skip
        self.url, self.token, self.tls = url, token, tls
        self.translates = target_language is not None
        self._settings = Settings(
            source=language, target=target_language, latency=latency, policy=policy, output=("captions",)
        )
        self._keyterms, self._session_keyterms = tuple(keyterms), ()

    @property
    def model(self) -> str:
        """See `STT`."""
        return "streamst"

    @property
    def provider(self) -> str:
        """See `STT`."""
        return "StreamST"

    def settings(self, language: NotGivenOr[str] = NOT_GIVEN) -> Settings:
        """What a stream asks for; `language` is what is spoken."""
        terms = dict.fromkeys((*self._keyterms, *self._session_keyterms))
        source = language if utils.is_given(language) else self._settings.source
        return replace(self._settings, source=source, glossary=tuple((term, "") for term in terms))

    def stream(
        self, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> StreamstRecognizeStream:
        """See `STT`."""
        return StreamstRecognizeStream(self, self.settings(language), conn_options)

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self._session_keyterms = tuple(keyterms)  # of streams that are opened from now on

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        frames = buffer if isinstance(buffer, list) else [buffer]
        talk, reader, gathered = Talk(self.url, self.settings(language), self.token, self.tls), Frames(), Gathered(self)
        try:
            for frame in frames:
                talk.push(heard(reader, frame))
            talk.push(reader.rest())
            talk.end()
            async with contextlib.aclosing(talk.events()) as events:
                said = [one async for event in events if isinstance(event, Caption) for one in gathered.take(event)]
        except StreamstError as error:
            raise api_error(error) from error
        finals = [event.alternatives[0] for event in said if event.type == TYPES.FINAL_TRANSCRIPT]
        return stt.SpeechEvent(TYPES.FINAL_TRANSCRIPT, alternatives=[gathered.joined(finals)])


class StreamstRecognizeStream(stt.RecognizeStream):
    """One speaker. Segments end by what is said: `flush` ends none."""

    def __init__(self, recogniser: StreamstSTT, settings: Settings, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=recogniser, conn_options=conn_options)
        self._ours, self._settings = recogniser, settings

    async def _run(self) -> None:
        talk = Talk(self._ours.url, self._settings, self._ours.token, self._ours.tls)
        feeding = asyncio.create_task(self._feed(talk))
        gathered, told_ms = Gathered(self._ours, self.start_time_offset), 0.0
        heard_ms = 0.0
        try:
            async with contextlib.aclosing(talk.events()) as events:
                async for event in events:
                    if isinstance(event, Acknowledged):
                        heard_ms = max(heard_ms, event.processed_ms)
                    if isinstance(event, Caption):
                        for one in gathered.take(event):
                            self._event_ch.send_nowait(one)
                            if one.type == TYPES.FINAL_TRANSCRIPT and heard_ms > told_ms:
                                usage = stt.RecognitionUsage(audio_duration=(heard_ms - told_ms) / 1000)
                                self._event_ch.send_nowait(
                                    stt.SpeechEvent(TYPES.RECOGNITION_USAGE, recognition_usage=usage)
                                )
                                told_ms = heard_ms
            await feeding
        except StreamstError as error:
            raise api_error(error) from error
        finally:
            await utils.aio.cancel_and_wait(feeding)

    async def _feed(self, talk: Talk) -> None:
        frames = Frames()
        try:
            async for frame in self._input_ch:
                if isinstance(frame, rtc.AudioFrame):
                    talk.push(heard(frames, frame))
            talk.push(frames.rest())
        finally:
            talk.end()


class Gathered:
    """The captions of both languages of each segment, as speech events."""

    def __init__(self, recogniser: StreamstSTT, offset_s: float = 0.0) -> None:
        self._stt, self._offset_s = recogniser, offset_s
        self._newest: dict[int, dict[str, Caption]] = {}
        self._begun: set[int] = set()

    def take(self, caption: Caption) -> list[stt.SpeechEvent]:
        """What a caption changes."""
        source = self._stt.settings().source or "en"
        captions = self._newest.setdefault(caption.segment, {})
        captions[caption.lang] = caption
        if caption.lang != source and not self._stt.translates:
            return []
        heard = captions.get(source)
        data = self._data(captions, source)
        events: list[stt.SpeechEvent] = []
        if data.text and caption.segment not in self._begun:
            self._begun.add(caption.segment)
            events.append(stt.SpeechEvent(TYPES.START_OF_SPEECH))
        over = heard is not None and heard.final
        if self._stt.translates:
            over = over and any(one.final for lang, one in captions.items() if lang != source)
        if data.text:
            events.append(
                stt.SpeechEvent(TYPES.FINAL_TRANSCRIPT if over else TYPES.INTERIM_TRANSCRIPT, alternatives=[data])
            )
        if over:
            if caption.segment in self._begun:
                events.append(stt.SpeechEvent(TYPES.END_OF_SPEECH))
            self._begun.discard(caption.segment)
            del self._newest[caption.segment]
        return events

    def joined(self, parts: list[stt.SpeechData]) -> stt.SpeechData:
        """Several segments as one."""
        if not parts:
            return stt.SpeechData(LanguageCode(self._stt.settings().target or self._stt.settings().source or "en"), "")
        lists: dict[str, Any] = {
            name: [one for part in parts for one in getattr(part, name) or []] or None
            for name in ("source_languages", "source_texts", "target_languages", "target_texts")
        }
        text = " ".join(part.text for part in parts)
        return replace(parts[0], text=text, end_time=parts[-1].end_time, **lists)

    def _data(self, captions: dict[str, Caption], source: str) -> stt.SpeechData:
        heard = captions.get(source)
        said = next((one for lang, one in captions.items() if lang != source), None)
        first, last = min(c.start_ms for c in captions.values()), max(c.end_ms for c in captions.values())
        times: dict[str, Any] = {"start_time": first / 1000 + self._offset_s, "end_time": last / 1000 + self._offset_s}
        if not self._stt.translates:
            assert heard is not None
            return stt.SpeechData(LanguageCode(source), _text(heard), confidence=1.0, **times)
        language = LanguageCode(said.lang if said else self._stt.settings().target or "de")
        return stt.SpeechData(
            language, _text(said) if said else "", confidence=1.0,
            source_languages=[LanguageCode(source)], source_texts=[_text(heard) if heard else ""],
            target_languages=[language], target_texts=[_text(said) if said else ""], **times,
        )  # fmt: skip


def _text(caption: Caption) -> str:
    return f"{caption.stable} {caption.unstable}".strip()
