"""Everything that a session's events go to: the terminal, subtitles, speech, and text for other programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from streamst import subtitles
from streamst.audio import Pcm, WavWriter
from streamst.errors import InputError
from streamst.events import Caption, Event, Speech
from streamst.playback import PlaybackWriter

from .outputs import STANDARD_OUTPUT, Beside, open_speech, speech_format
from .view import CaptionView, err, out

FORMATS = ("txt", "srt", "vtt", "json", "jsonl")


def read_terms(path: Path | None) -> tuple[tuple[str, str], ...]:
    """The terms of a glossary's file; InputError names the line that is wrong."""
    if path is None:
        return ()
    from streamst.models.glossary import read_glossary

    return read_glossary(path).terms


@dataclass(frozen=True)
class Wanted:
    """What a command was asked to write; InputError, before anything is loaded, for what cannot be.

    form: one of FORMATS, on standard output in place of captions for people.
    """

    srt: Path | None = None
    bilingual: bool = False
    speech: Path | None = None
    aligned: bool = True  # speech with the silences that put it beside the original
    form: str | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.form is not None and self.form not in FORMATS:
            raise InputError(f"--format {self.form!r} is not known; allowed: {', '.join(FORMATS)}")
        if self.srt is not None:
            subtitles.check_path(self.srt)
        if self.speech == STANDARD_OUTPUT and self.form is not None:
            raise InputError("-o - and --format would both write to standard output: give -o a file")
        if self.speech is not None and self.speech != STANDARD_OUTPUT:
            Beside(self.speech)
            speech_format(self.speech)


class Sinks:
    """Everything that a session's events go to. A context manager: at its end, however it comes, files are complete;
    where an error comes before anything was heard, none is touched.

    total_s: length of what will be heard, where it is known [s].
    """

    def __init__(self, wanted: Wanted, total_s: float | None = None) -> None:
        self._console = err if wanted.form is not None or wanted.speech == STANDARD_OUTPUT else out
        self.view = CaptionView(total_s, self._console)
        self._wanted = wanted
        self._written: list[_Text] = []
        self._wav: WavWriter | None = None
        self._speech: PlaybackWriter | None = None
        self._play: Callable[[Pcm], None] | None = None
        self._heard_ms = 0.0
        self._carried: Callable[[], str] | None = None

    def begin(self, source: str, target: str) -> None:
        """The languages are known, before the first event; said again, they stay as they are."""
        wanted = self._wanted
        if self.view.languages:
            return
        self.view.begin(source, target)
        langs = (source, target) if wanted.bilingual else (target,)
        if wanted.srt is not None:
            self._written.append(_Subtitles(wanted.srt, wanted.srt.suffix.lower(), langs))
        if wanted.form in ("srt", "vtt"):
            self._written.append(_Subtitles(None, f".{wanted.form}", langs))
        elif wanted.form is not None:
            self._written.append(_Lines(wanted.form, source, target))

    def carried_by(self, told: Callable[[], str]) -> None:
        """Show what `told` says of the connection, live and at the end."""
        self._carried = self.view.note = told

    def tell(self, line: str) -> None:
        """A line for a person, between the captions."""
        if not self._wanted.quiet:
            self._console.print(line, soft_wrap=True)

    def voice_is_known(self, sample_rate_hz: int) -> None:
        """Open the file of speech, where one is wanted."""
        if self._wanted.speech is not None:
            self._wav = open_speech(self._wanted.speech, sample_rate_hz)
            self._speech = PlaybackWriter(self._wav, self._wanted.aligned)

    def play_through(self, play: Callable[[Pcm], None]) -> None:
        """Hand the speech, at the voice's rate, to `play` as well."""
        self._play = play

    def heard(self, milliseconds: float) -> None:
        """That much more was heard."""
        self._heard_ms += milliseconds
        self.view.heard(self._heard_ms)

    def take(self, events: Iterable[Event]) -> None:
        """Hand events on."""
        for event in events:
            if not self._wanted.quiet:
                self.view.show(event)
            for text in self._written:
                text.add(event)
            if isinstance(event, Speech):
                if self._speech is not None:
                    self._speech.add(event)
                if self._play is not None:
                    self._play(event.pcm)

    def summary(self) -> None:
        """Tell in one line what happened."""
        if self._wanted.quiet:
            return
        heard_s, view = self._heard_ms / 1000, self.view
        told = [f"{heard_s:.1f} s heard, {view.words} words"]
        if view.first_word_ms is not None:
            told.append(f"the first when {view.first_word_ms / 1000:.1f} s were heard")
        if view.finished is not None and heard_s:
            told.append(f"real-time factor {view.finished.compute_s / heard_s:.2f}")
        if self._speech is not None:
            told.append(f"{self._speech.spoken_s:.1f} s of speech in {self._wanted.speech}")
        if self._wanted.srt is not None:
            told.append(f"subtitles in {self._wanted.srt}")
        if self._carried is not None:
            told.append(self._carried())
        err.print("; ".join(told), style="dim", soft_wrap=True)

    def __enter__(self) -> Sinks:
        if not self._wanted.quiet:
            self.view.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._wanted.quiet:
            self.view.close()
        if kind is not None and not self._heard_ms:  # what was there stays
            if self._wav is not None:
                self._wav.discard()
            return
        for text in self._written:
            text.close()
        if self._wav is not None:
            self._wav.close()


class _Text:
    """Text that grows in a file, which is opened for the first of it, or on standard output."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def write(self, text: str) -> None:
        """Append, so that a reader has it at once."""
        file = self._file
        if file is None:
            file = sys.stdout if self._path is None else self._path.open("w", encoding="utf-8", newline="\n")
            self._file = file
        file.write(text)
        file.flush()

    def add(self, event: Event) -> None:
        """Take an event."""
        raise AssertionError(event)

    def close(self) -> None:
        """No more events come."""
        if self._file is not None and self._path is not None:
            self._file.close()


class _Subtitles(_Text):
    def __init__(self, path: Path | None, ending: str, langs: tuple[str, ...]) -> None:
        super().__init__(path)
        self._cues = subtitles.GrowingTrack(langs)
        self._growing = subtitles.Growing(ending)

    def add(self, event: Event) -> None:
        if isinstance(event, Caption):
            self._put(self._cues.add(event))

    def close(self) -> None:
        self._put(self._cues.rest())
        self.write(self._growing.text(()))
        super().close()

    def _put(self, cues: list[subtitles.Cue]) -> None:
        if cues:
            self.write(self._growing.text(cues))


class _Lines(_Text):
    """txt: a line of translation a segment; jsonl: an event a line; json: one document of segments at the end."""

    def __init__(self, form: str, source: str, target: str) -> None:
        super().__init__(None)
        self._form, self._source, self._target = form, source, target
        self._segments: dict[int, dict[str, object]] = {}

    def add(self, event: Event) -> None:
        if self._form == "jsonl" and not isinstance(event, Speech):
            fields = {"type": type(event).__name__.lower()} | dataclasses.asdict(event)
            self.write(json.dumps(fields, ensure_ascii=False) + "\n")
        if not isinstance(event, Caption):
            return
        if self._form == "txt" and event.final and event.lang == self._target and event.stable.strip():
            self.write(event.stable.strip() + "\n")
        if self._form == "json":
            segment = self._segments.setdefault(event.segment, {})
            segment[event.lang] = event.stable.strip()
            segment |= {"start_ms": event.start_ms, "end_ms": event.end_ms} if event.lang == self._source else {}

    def close(self) -> None:
        if self._form == "json":
            segments = [segment for _, segment in sorted(self._segments.items())]
            whole = {"source": self._source, "target": self._target, "segments": segments}
            self.write(json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
        super().close()
