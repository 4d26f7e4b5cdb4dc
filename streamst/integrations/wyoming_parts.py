"""What a Wyoming client of ours is: one that speaks and reads, one that reads aloud; and what it may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Eventable
from wyoming.tts import SynthesizeStopped, SynthesizeTextFormat, SynthesizeVoice

from streamst.audio import Pcm, to_pcm16
from streamst.errors import InputError, StreamstError
from streamst.events import Caption, Event
from streamst.models.speak.aloud import Aloud, Speaking
from streamst.server.foreign.appended import Appended

from .frames import Frames

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline

PIECE_S = 1.0  # of audio that is heard, or sent, at a time
LONGEST_TEXT = 20_000  # characters that are read aloud at once


class BadEventError(StreamstError):
    """An event that is not whole, or out of order."""


@dataclass(frozen=True)
class Limits:
    """What clients may have."""

    clients: int = 32  # at once
    event_bytes: int = 1 << 20  # of one event's data, and of its audio
    idle_s: float = 600.0  # without any event
    send_s: float = 10.0  # that a client may take to read what it is sent
    drain_s: float = 10.0  # that a talk may go on when the server is to end, before what was heard is said


class Reader:
    """A stream's reader that refuses to hold more than `most` bytes, which is what an event only promises at first."""

    def __init__(self, reader: asyncio.StreamReader, most: int) -> None:
        self._reader, self._most = reader, most

    async def readline(self) -> bytes:
        """As `StreamReader.readline`."""
        return await self._reader.readline()

    async def readexactly(self, count: int) -> bytes:
        """As `StreamReader.readexactly`; ValueError for too much."""
        if not 0 <= count <= self._most:
            raise ValueError(f"{count} bytes; allowed: {self._most}")
        return await self._reader.readexactly(count)


def glossary_of(wanted: Transcribe) -> dict[str, str]:
    """Source to target: names are written as they are, terms are heard and translated like other words ("")."""
    names, terms = (
        [one for one in given or () if isinstance(one, str) and one.strip()]
        for given in (wanted.transcript_names, wanted.transcript_terms)
    )
    return {name: name for name in names} | {term: "" for term in terms if term not in names}


class Hearing:
    """One utterance or talk, from `AudioStart` to `AudioStop`."""

    def __init__(self, pipeline: Pipeline, wanted: Transcribe, policy: str | None, latency: str | None) -> None:
        self.language = Hearing.check(pipeline, wanted)
        target = self.language if self.language in pipeline.targets else None
        self.session = pipeline.session(target, policy, latency, speech=False, glossary=glossary_of(wanted))
        self.frames = Frames(self.session.sample_rate_hz)
        self.text = ""
        self._appended = Appended()

    @staticmethod
    def check(pipeline: Pipeline, wanted: Transcribe) -> str:
        """The language that is to be written; InputError for one that cannot be."""
        allowed = [*pipeline.targets, pipeline.source]
        if wanted.language is None:
            return allowed[0]
        language = str(wanted.language).replace("_", "-").split("-")[0].lower()
        if language not in allowed:
            raise InputError(f"language {wanted.language!r} cannot be written here; allowed: {', '.join(allowed)}")
        return language

    def pieces(self, chunk: AudioChunk) -> Iterator[Pcm]:
        """What a chunk brings, a second at a time; InputError for audio that is not usable."""
        for name in ("rate", "width", "channels"):
            if not isinstance(getattr(chunk, name), int):
                raise InputError(f"{name} {getattr(chunk, name)!r} is no whole number")
        pcm = self.frames.push(chunk.audio, chunk.rate, chunk.channels, chunk.width)
        size = int(PIECE_S * self.session.sample_rate_hz)
        return (pcm[at : at + size] for at in range(0, len(pcm), size))

    def fresh(self, events: list[Event]) -> str:
        """What `events` add to the text that never changes again."""
        captions = (event for event in events if isinstance(event, Caption) and event.lang == self.language)
        delta = "".join(self._appended.delta(caption) for caption in captions)
        self.text += delta
        return delta


class Saying:
    """One text that is read aloud."""

    def __init__(self, pipeline: Pipeline, voice: SynthesizeVoice | None, text_format: object) -> None:
        """InputError for a voice, language or format that there is not."""
        speaker = pipeline.voice
        if speaker is None:
            raise InputError(f"model {pipeline.name!r} has no voice")
        ours = f"streamst-{speaker.language}"
        if voice is not None and voice.name not in (None, ours):
            raise InputError(f"voice {voice.name!r} is not known; allowed: {ours}")
        if voice is not None and voice.language is not None and voice.language[:2].lower() != speaker.language:
            raise InputError(f"the voice speaks {speaker.language}, not {voice.language!r}")
        if text_format not in (None, SynthesizeTextFormat.TEXT):
            raise InputError(f"text in the format {text_format!r} is not spoken; allowed: text")
        self.aloud = Aloud(speaker)
        self._rate_hz = speaker.sample_rate_hz
        self._characters = 0
        self._begun = False

    def steps(self, text: object) -> Speaking:
        """Read more of it; InputError for too much, or no text."""
        if not isinstance(text, str):  # of an event it may be anything
            raise InputError(f"text must be a string, not {type(text).__name__}")
        self._characters += len(text)
        if self._characters > LONGEST_TEXT:
            raise InputError(f"a text has at most {LONGEST_TEXT} characters; this one has {self._characters}")
        return self.aloud.speaking(text)

    def audio(self, pcm: Pcm) -> Iterator[Eventable]:
        """Events with these samples."""
        size = int(PIECE_S * self._rate_hz)
        form = {"rate": self._rate_hz, "width": 2, "channels": 1}
        for at in range(0, len(pcm), size):
            if not self._begun:
                self._begun = True
                yield AudioStart(**form)
            yield AudioChunk(audio=to_pcm16(pcm[at : at + size]), **form)

    def stop(self) -> Eventable:
        """The end of the audio; InputError where there was none."""
        if not self._begun:
            raise InputError("the voice finds nothing to say in the text")
        return AudioStop()

    def stopped(self) -> Eventable:
        """The end of what was streamed."""
        return SynthesizeStopped()
