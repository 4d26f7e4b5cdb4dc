"""StreamST as a translation model of LiveKit Agents: English speech in, German speech and both transcripts out.

    session = TranslationSession(model=StreamstTranslation("ws://127.0.0.1:8000"))
    await session.start(room=ctx.room)

`StreamstSTT` (livekit_stt.py) is for who wants captions only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterable, Sequence
from dataclasses import replace
from typing import Any

from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, utils
from livekit.agents.beta.translation import (
    InputSpeechStarted,
    InputSpeechStopped,
    InputTranscript,
    OutputSpeechStopped,
    OutputTranscript,
    TranslatedAudioFrame,
    TranslationCapabilities,
    TranslationModel,
    TranslationModelError,
    TranslationModelSession,
)
from livekit.agents.utils.aio.channel import ChanEmpty

from streamst.errors import InputError, StreamstError, UnavailableError
from streamst.events import Caption, Speech
from streamst.server.wire.seam import Settings, Welcome

from .frames import Frames
from .livekit_errors import api_error, heard, spoken
from .talk import Phrases, Talk

Spoken = TranslatedAudioFrame | OutputSpeechStopped


class StreamstTranslation(TranslationModel):
    """A StreamST server, as LiveKit wants a translation model."""

    def __init__(
        self,
        url: str = "ws://127.0.0.1:8000",
        *,
        target_language: str = "de",
        source_language: str = "en",
        token: str | None = None,
        latency: str | None = None,
        policy: str | None = None,
        keyterms: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> None:
        """url, token, tls: as for `streamst.client.stream`. keyterms: words that are to be heard rather than others.
        conn_options: how often, and after how long, a server that is full or away is asked again."""
        super().__init__(
            capabilities=TranslationCapabilities(
                input_transcription=True, output_transcription=True, turn_reporting=True, output_segmentation=True,
                retargetable=True,
            ),
            target_language=target_language,
            source_language=source_language,
        )  # fmt: skip
        self.url, self.token, self.tls, self.conn_options = url, token, tls, conn_options
        self._settings = Settings(latency=latency, policy=policy, glossary=tuple((term, "") for term in keyterms))
        self._sessions: set[StreamstTranslationSession] = set()

    @property
    def model(self) -> str:
        """See `TranslationModel`."""
        return "streamst"

    @property
    def provider(self) -> str:
        """See `TranslationModel`."""
        return "StreamST"

    @property
    def settings(self) -> Settings:
        """What a session asks for."""
        return replace(self._settings, source=self.source_language, target=self.target_language)

    def session(self) -> StreamstTranslationSession:
        """See `TranslationModel`. Nothing is sent before there is audio."""
        session = StreamstTranslationSession(self)
        self._sessions.add(session)
        return session

    def forget(self, session: StreamstTranslationSession) -> None:
        """The session is closed."""
        self._sessions.discard(session)

    async def aclose(self) -> None:
        """Close all sessions."""
        for session in [*self._sessions]:
            await session.aclose()


class StreamstTranslationSession(TranslationModelSession[Any]):
    """One speaker. What LiveKit's own docstrings say of `TranslationModelSession` holds."""

    def __init__(self, model: StreamstTranslation) -> None:
        super().__init__(model)
        self._model = model
        self._talk = Talk(model.url, model.settings, model.token, model.tls)
        self._frames = Frames()
        self._phrases = Phrases()
        self._audio: utils.aio.Chan[Spoken] = utils.aio.Chan()
        self._targets: tuple[str, ...] | None = None  # that the server has, once it is known
        self._speaking: int | None = None  # the segment that is being heard
        self._told: dict[int, str] = {}  # of each segment that is not final, the translation so far
        self._task = asyncio.create_task(self._run(), name="StreamstTranslationSession._run")

    @property
    def audio_stream(self) -> AsyncIterable[Spoken]:
        """See `TranslationModelSession`."""
        return self._audio

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """The next audio, at any rate, of any number of channels. RuntimeError once closed; a frame that is not usable
        is told as an error, and the session goes on."""
        if self._closing or self._talk.ended:
            raise RuntimeError("StreamstTranslationSession is closed")
        try:
            self._talk.push(heard(self._frames, frame))
        except InputError as error:
            self._fail(error, recoverable=True)

    def clear_audio(self) -> None:
        """Drop the speech that nobody has read; a phrase that was begun ends here."""
        dropped = False
        with contextlib.suppress(ChanEmpty, utils.aio.ChanClosed):
            while True:
                dropped = isinstance(self._audio.recv_nowait(), TranslatedAudioFrame) or dropped
        if dropped and not self._audio.closed:
            self._audio.send_nowait(OutputSpeechStopped())

    def update_options(self, *, target_language: str) -> None:
        """Translate what is pushed next into another language; RuntimeError for one that the server does not have."""
        if self._targets is not None and target_language not in self._targets:
            told = f"{target_language!r} is not translated into here; allowed: {', '.join(self._targets)}"
            raise RuntimeError(told)
        self._talk.configure(replace(self._model.settings, target=target_language))

    def end_input(self) -> None:
        """Nothing more is pushed: the rest is said, then `audio_stream` ends."""
        if not self._talk.ended:
            self._talk.push(self._frames.rest())
            self._talk.end()

    async def aclose(self) -> None:
        """End at once, whatever was not said yet. Twice is once."""
        self._closing = True
        self._talk.end()
        await utils.aio.cancel_and_wait(self._task)
        self._audio.close()
        self._model.forget(self)

    async def _run(self) -> None:
        options, failures = self._model.conn_options, 0
        try:
            while True:
                try:
                    async with contextlib.aclosing(self._talk.events()) as events:
                        async for event in events:
                            failures = 0
                            self._take(event)
                    return
                except UnavailableError as error:
                    self._fail(error, recoverable=failures < options.max_retry)
                    if failures >= options.max_retry:
                        return
                    await asyncio.sleep(options._interval_for_retry(failures))
                    failures += 1
                except StreamstError as error:
                    self._fail(error, recoverable=False)
                    return
        finally:
            self._closing = True
            self._audio.close()

    def _fail(self, error: StreamstError, recoverable: bool) -> None:
        told = TranslationModelError(
            timestamp=time.time(), label=self._model.label, error=api_error(error), recoverable=recoverable
        )
        self.emit("error", told)

    def _take(self, event: object) -> None:
        match event:
            case Welcome():
                self._targets = event.offer.targets
            case Caption() if event.lang == self._talk.settings.source:
                self._heard(event)
            case Caption():
                self._said(event)
            case Speech():
                self._audio.send_nowait(
                    TranslatedAudioFrame(spoken(event.pcm, event.sample_rate_hz), self._talk.settings.target)
                )
                self._stop(self._phrases.heard(event.text))
            case _:
                pass

    def _heard(self, caption: Caption) -> None:
        text = f"{caption.stable} {caption.unstable}".strip()
        if text and self._speaking != caption.segment:
            self._speaking = caption.segment
            self.emit("input_speech_started", InputSpeechStarted())
        if text:
            self.emit("input_transcript", InputTranscript(text, caption.final, caption.lang))
        if caption.final and self._speaking == caption.segment:
            self._speaking = None
            self.emit("input_speech_stopped", InputSpeechStopped())

    def _said(self, caption: Caption) -> None:
        told = self._told.get(caption.segment, "")
        fresh = caption.stable[len(told) :]
        if fresh or (caption.final and told):
            self.emit("output_transcript", OutputTranscript(fresh, caption.final, caption.lang))
        self._told[caption.segment] = caption.stable
        if caption.final:
            del self._told[caption.segment]
            self._stop(self._phrases.said(caption))

    def _stop(self, count: int) -> None:
        for _ in range(count):
            self._audio.send_nowait(OutputSpeechStopped())
