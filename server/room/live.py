"""One stream's translation: audio messages in, answers out. Knows no sockets.

What takes time is in steps (`streamst.session.Steps`), which an engine runs, in its thread.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamst.audio import Pcm
from streamst.config import from_dict
from streamst.errors import ConfigError, InputError, ProtocolError
from streamst.events import Caption, Event, Finished, Speech, Words
from streamst.models.glossary import sift
from streamst.policies.catalog import parse_policy
from streamst.server.operator.metrics import Metrics, Tally
from streamst.server.wire import codes
from streamst.server.wire.audio import Downlink, Uplink
from streamst.server.wire.seam import Acknowledged, Answer, Audio, Configured, Failure, LeftOut, Settings, Spoken
from streamst.server.wire.summary import Heard
from streamst.session import Session, Steps

from .asked import open_session, same_but_for_the_dial, setting_of
from .kept import LiveKept
from .meter import Meter
from .pressure import CHEAPER_POLICY, RELAXED, RELIEF_CHUNK_MS, RELIEF_POLICY, WIDER_CHUNKS, Pressure, behind

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline


@dataclass(frozen=True)
class _Running:
    """A session with the codecs of the wire around it, and where in the stream it began."""

    session: Session
    uplink: Uplink
    downlink: Downlink
    base_samples: int
    base_segment: int

    @property
    def base_ms(self) -> float:
        return 1000 * self.base_samples / self.session.sample_rate_hz


class LiveStream:
    """A stream of one or, when it is set anew in its midst, several sessions one after the other; and its meter.

    One caller at a time. A message of any length is heard in pieces of one chunk, one a call, so that a long one delays
    nobody: `hear` takes a message in, `step` hears its next piece while `waiting`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: Metrics | Tally,
        defaults: Settings | None = None,
        pressure: Pressure | None = None,
        relieve: bool = True,
    ) -> None:
        """pressure: is told what is heard. relieve: under it chunks get wider and the policy cheaper."""
        self.pipeline, self.metrics = pipeline, metrics
        self._pressure, self._relieves, self._relieved = pressure, relieve, RELAXED
        self._first_s: float | None = None  # when the first audio arrived
        self.meter = Meter()
        self.defaults = defaults or Settings()  # where a client leaves policy or latency open
        self.settings = Settings()
        voice = pipeline.voice
        self.output_sample_rate_hz = pipeline.sample_rate_hz if voice is None else voice.sample_rate_hz
        self._terms: tuple[tuple[str, str], ...] = ()  # of the settings' glossary, those that can be used
        self._left_out: tuple[LeftOut, ...] = ()
        self._running: _Running | None = None
        self._pieces: deque[bytes] = deque()
        self._unheard_end = False  # of a recording: what `configure` or `finish` began to hear
        self._sequence = 0  # of the message whose pieces wait
        self._arrived_s = 0.0
        self._samples = 0  # heard, at the session's rate
        self._segments = 0  # seen
        self._spoken_ms = 0.0
        self._concealed_ms = 0.0  # lost on the way here, and filled
        self._decoder_calls = 0
        self._held_text: list[str] = []  # of speech whose codec frame is not complete
        self.steady = False  # asks less of the device only where it is kept: what is heard again is heard as before
        self.restless = False  # would ask less, or more again, if it were kept

    @property
    def waiting(self) -> bool:
        """Whether pieces of the last message, or of a recording's end, are still to be heard."""
        return bool(self._pieces) or self._unheard_end

    def configure(self, settings: Settings, flush: bool = False) -> Steps[list[Answer]]:
        """Translate with `settings`. ProtocolError 4400 names what is not allowed.

        Another policy or latency takes over from the next chunk on, in mid-sentence; for anything else, and where
        `flush` asks for it, what was begun is finished first; while `waiting` it is to be asked again.
        """
        source = self.pipeline.source
        if settings.source not in (None, source):
            raise ProtocolError(f"config.source: {settings.source!r}; allowed: {source}", codes.BAD_PARAMETER)
        settings = dataclasses.replace(
            settings,
            source=source,
            target=settings.target or self.pipeline.targets[0],
            policy=settings.policy or self.defaults.policy,
            latency=settings.latency or self.defaults.latency or self.pipeline.latency,
        )
        running, same_codec = self._running, settings.codec == self.settings.codec
        if running is not None and not flush and same_but_for_the_dial(settings, self.settings):
            return self._redial(settings, running)
        uplink = running.uplink if running is not None and running.uplink.endless and same_codec else None
        holds = running is not None and running.uplink.endless and not same_codec  # the end of a recording
        begun = running is not None and (holds or self._samples > running.base_samples)
        answers = (yield from self._finish(uplink is None)) if begun else []
        if self._unheard_end:
            return answers
        if settings.glossary != self.settings.glossary:
            self._sift(settings.glossary)
        try:
            session = open_session(self.pipeline, settings, self._terms)
        except (InputError, ConfigError) as error:
            raise ProtocolError(str(error), codes.BAD_PARAMETER) from error
        codec = self.pipeline.codec
        if self._running is not None and uplink is None:
            self._running.uplink.close()
        uplink = uplink or Uplink(settings, session.sample_rate_hz, codec)
        downlink = Downlink(settings.output_codec, codec, settings.output_bitrate_bps, self.output_sample_rate_hz)
        self._relieved = RELAXED
        self._running = _Running(session, uplink, downlink, self._samples, self._segments)
        self.settings = settings
        return [*answers, self._configured(session.chunk_ms)]

    def _configured(self, chunk_ms: int) -> Configured:
        return Configured(self.settings, chunk_ms, len(self._terms), self._left_out)

    def _sift(self, glossary: tuple[tuple[str, str], ...]) -> None:
        """Take of a glossary what can be used."""
        usable, others = sift(glossary, self.pipeline.models.writer.terms)
        self._terms = usable.terms
        self._left_out = tuple(LeftOut(entry, glossary[entry - 1][0], reason) for entry, reason in others)

    def _redial(self, settings: Settings, running: _Running) -> list[Answer]:
        """Go on with another policy or latency."""
        try:
            setting = setting_of(self.pipeline, settings)
            running.session.reconfigure(setting.make(), setting.chunk_ms)
        except (InputError, ConfigError) as error:
            raise ProtocolError(str(error), codes.BAD_PARAMETER) from error
        self._relieved = RELAXED
        self.settings = settings
        return [self._configured(setting.chunk_ms)]

    def hear(self, audio: Audio, arrived_s: float) -> Steps[list[Answer]]:
        """Take a message in that arrived at `arrived_s` (time.perf_counter) and hear its first piece."""
        answers = (yield from self.configure(self.settings)) if self._running is None else []
        running = self._require()
        self.meter.buffer_ms = (time.perf_counter() - arrived_s) * 1000
        self._pieces.extend(running.uplink.split(audio.payload, running.session.chunk_ms))
        self._sequence, self._arrived_s = audio.sequence, arrived_s
        return [*answers, *(yield from self.step())]

    def step(self) -> Steps[list[Answer]]:
        """Hear the next piece."""
        answers: list[Answer] = []
        if self._pieces:
            part = self._pieces.popleft()
            begun_s = time.perf_counter()
            pcm = yield from self._require().uplink.decoding(part)
            self._relieve(len(pcm) / self.pipeline.sample_rate_hz, begun_s)
            if self._require().uplink.waiting:
                self._pieces.appendleft(b"")
            answers = yield from self._say((yield from self._push(pcm)), begun_s)
        if not self._pieces:
            answers.append(Acknowledged(self._sequence, self._samples, self._heard_ms))
        return answers

    def _relieve(self, audio_s: float, now_s: float) -> None:
        """Ask less of the device while it is under pressure, and what the client asked for again when it is not."""
        if self._pressure is None:
            return
        if self._first_s is None:
            self._first_s = self._arrived_s
        late_s = behind(now_s, self._arrived_s, self._first_s, self._heard_ms / 1000)
        self._pressure.heard(self, audio_s, late_s)
        level = self._pressure.level if self._relieves else RELAXED
        self.restless = self.steady and level != self._relieved
        if level != self._relieved and not self.steady:
            self._give_way(level)

    def _give_way(self, level: int) -> None:
        """Ask so much less of the device, from the next chunk on."""
        running = self._require()
        self._relieved, self.restless = level, False
        setting = setting_of(self.pipeline, self.settings)
        chunk_ms = max(setting.chunk_ms, RELIEF_CHUNK_MS) if level >= WIDER_CHUNKS else setting.chunk_ms
        cheap = level >= CHEAPER_POLICY and not setting.make().captions_only
        running.session.reconfigure(parse_policy(RELIEF_POLICY) if cheap else setting.make(), chunk_ms)

    def keeping(self, relieve: bool = False) -> Steps[bytes]:
        """All that it takes to go on elsewhere, between two messages, beside a recording that came; b"" where that is
        not to be had. relieve: first do what `restless` waits for. From now on it is `steady`."""
        yield from ()
        running = self._running
        if running is None or self._pieces or self._unheard_end:
            return b""
        uplink, downlink = running.uplink.keep(), running.downlink.keep()
        if not uplink or not downlink:
            return b""
        self.steady = True
        if relieve and self.restless and self._pressure is not None:
            self._give_way(self._pressure.level)
        return LiveKept(
            json.dumps(dataclasses.asdict(self.settings)),
            np.frombuffer(running.session.snapshot(), np.uint8), running.base_samples, running.base_segment,
            self._samples, self._segments, self._spoken_ms, self._concealed_ms, self._decoder_calls, self._relieved,
            self.meter.keep(), np.frombuffer(uplink, np.uint8), np.frombuffer(downlink, np.uint8),
            tuple(self._held_text),
        ).packed()  # fmt: skip

    def restoring(self, data: bytes, recording: bytes = b"") -> Steps[list[Answer]]:
        """Be where the stream was that `keeping` saw, once `step` is done while `waiting`; InputError when `data` is
        not of one, or not of this model. recording: what came of one, to be unpacked again."""
        yield from ()
        kept = LiveKept.unpacked(data)
        settings = from_dict(Settings, json.loads(kept.settings), "settings")
        if settings.glossary:
            self._sift(settings.glossary)
        session = Session.restore(kept.session.tobytes(), self.pipeline.models)
        codec = self.pipeline.codec
        uplink = Uplink(settings, session.sample_rate_hz, codec)
        downlink = Downlink(settings.output_codec, codec, settings.output_bitrate_bps, self.output_sample_rate_hz)
        self._pieces.extend(uplink.go_on(kept.uplink.tobytes(), recording))
        downlink.go_on(kept.downlink.tobytes())
        self._held_text = list(kept.held_text)
        self._running = _Running(session, uplink, downlink, kept.base_samples, kept.base_segment)
        self.settings, self.steady, self._relieved = settings, True, kept.relieved
        self._samples, self._segments, self._decoder_calls = kept.samples, kept.segments, kept.decoder_calls
        self._spoken_ms, self._concealed_ms = kept.spoken_ms, kept.concealed_ms
        self._first_s = time.perf_counter() - self._heard_ms / 1000
        self.meter.go_on(kept.meter)
        return []

    def finish(self, cut: bool = False) -> Steps[list[Answer]]:
        """Hear the end: everything that was held back; of a recording a second at a time, while `waiting`. A `Failure`
        says what was wrong with it. cut: what is not heard yet never will be."""
        if not cut or self._running is None or not self._running.uplink.endless:
            return (yield from self._finish())
        self._pieces, self._unheard_end = deque(), False
        self._running.uplink.close()
        return (yield from self._finish(flush=False))

    def _finish(self, flush: bool = True) -> Steps[list[Answer]]:
        """Hear the end of the session; flush: and of the audio, which otherwise goes on in another one."""
        running = self._running
        if running is None:
            return []
        begun_s, uplink = time.perf_counter(), running.uplink
        events: list[Event] = []
        if flush:
            rest = yield from uplink.flushing()
            events += (yield from self._push(rest)) if len(rest) else []
            self._unheard_end = uplink.waiting
            if self._unheard_end:
                return (yield from self._say(events, begun_s))
        answers = yield from self._say([*events, *(yield from running.session.ending())], begun_s, last=True)
        self._concealed_ms += running.uplink.concealed_ms
        payload, samples = yield from running.downlink.flushing()
        if payload:
            answers.append(self._spoken(payload, samples, "", self._heard_ms, 0.0))
        self._running = None
        if flush:
            uplink.close()
        told = (
            [Failure(codes.BAD_DATA, f"the audio cannot be read: {uplink.trouble}")] if flush and uplink.trouble else []
        )
        return [*answers, *told]

    def close(self) -> None:
        """The stream is over, whatever has become of it; may be called while a step is being done."""
        if self._running is not None:
            self._running.uplink.close()

    def summary(self) -> Heard:
        """What the end of the stream says about it."""
        return Heard(
            **vars(self.meter.summary()),
            samples=self._samples,
            segments=self._segments,
            decoder_calls=self._decoder_calls,
            concealed_ms=self._concealed_ms,
            speech_ms=self._spoken_ms,
        )

    @property
    def _heard_ms(self) -> float:
        return 1000 * self._samples / self.pipeline.sample_rate_hz

    def _require(self) -> _Running:
        assert self._running is not None, "configured before anything is heard"
        return self._running

    def _push(self, pcm: Pcm) -> Steps[list[Event]]:
        session = self._require().session
        self._samples += len(pcm)
        self.metrics.heard_s.inc(len(pcm) / session.sample_rate_hz)
        return (yield from session.hearing(pcm))

    def _say(self, events: list[Event], begun_s: float, last: bool = False) -> Steps[list[Answer]]:
        """Answers for the events of one push that began at `begun_s`; after words, and at last, the meter's reading."""
        answers: list[Answer] = []
        captions = "captions" in self.settings.output
        wrote = False
        for event in events:
            event = self._placed(event)
            match event:
                case Caption():
                    self._segments = max(self._segments, event.segment + 1)
                    self.meter.caption(event)
                    answers += [event] if captions else []
                case Words():
                    lag_ms = (begun_s - self._arrived_s) * 1000 + event.compute_ms
                    self.meter.written(event, lag_ms)
                    self.metrics.words.inc(len(event.words))
                    self.metrics.lag_s.observe(lag_ms / 1000)
                    wrote = True
                    answers += [event] if captions else []
                case Speech():
                    answers += [event] if self.settings.room else []
                    answers += (yield from self._encoding(event)) if "audio" in self.settings.output else []
                case Finished():
                    self._segments = max(self._segments, self._require().base_segment + event.segments)
                    self._decoder_calls += event.decoder_calls
                case _:
                    raise TypeError(f"{type(event).__name__} has no place on a wire")
        self.meter.heard(self._heard_ms, (time.perf_counter() - begun_s) * 1000)
        return [*answers, self.meter.reading()] if wrote or last else answers

    def _encoding(self, speech: Speech) -> Steps[list[Answer]]:
        downlink = self._require().downlink
        downlink.follow(self.meter.round_trips.queue_ms(), time.perf_counter())
        payload, samples = yield from downlink.encoding(speech.pcm)
        self._held_text += [speech.text] if speech.text else []
        if not payload:
            return []
        text = " ".join(self._held_text)
        self._held_text.clear()
        return [self._spoken(payload, samples, text, speech.source_ms, speech.compute_ms, speech.rate)]

    def _spoken(
        self, payload: bytes, samples: int, text: str, source_ms: float, compute_ms: float, pace: float = 1.0
    ) -> Spoken:
        rate = self._require().downlink.sample_rate_hz
        self._spoken_ms += 1000 * samples / rate
        self.metrics.spoken_s.inc(samples / rate)
        heard = round(source_ms * self.pipeline.sample_rate_hz / 1000)
        return Spoken(self.settings.output_codec, payload, samples, rate, text, source_ms, compute_ms, heard, pace)

    def _placed(self, event: Event) -> Event:
        """`event` of the session that runs, as seen from the stream's start."""
        running = self._require()
        if not running.base_samples:
            return event
        ms, segment = running.base_ms, running.base_segment
        event = dataclasses.replace(event, source_ms=event.source_ms + ms)
        match event:
            case Caption():
                start_ms, end_ms = event.start_ms + ms, event.end_ms + ms
                spans_ms = tuple((start + ms, end + ms) for start, end in event.spans_ms)
                return dataclasses.replace(
                    event, segment=event.segment + segment, start_ms=start_ms, end_ms=end_ms, spans_ms=spans_ms
                )
            case Words():
                aligned_ms = tuple(at + ms for at in event.aligned_ms)
                return dataclasses.replace(event, segment=event.segment + segment, aligned_ms=aligned_ms)
            case _:
                return event
