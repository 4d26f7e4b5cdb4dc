"""Streaming transducers of sherpa-onnx (zipformer, LSTM, conformer) as recognisers; extra `sherpa`.

The library keeps a stream's state to itself. A state here holds the audio since the last pause: the library's stream
goes on where it is still open, and after a snapshot, or elsewhere, it is made again from that audio.
"""

from __future__ import annotations

import mmap
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamst.errors import CheckpointError
from streamst.models.glossary import Glossary
from streamst.models.seam import NO_GLOSSARY, Hear, HeardWord, Listening
from streamst.models.segment import SegmentConfig
from streamst.policies.base import Need

from .level import Level, listen
from .parts import Languages, check_files, imported
from .window import FRAME, FRAME_MS, KEPT, MOST_WORDS, PAUSE, RATE_HZ, check_chunk

WHAT = "a streaming transducer of sherpa-onnx"
# What the library reads in each file; where it is not there, the library ends the whole process.
NEEDED = {"encoder": b"model_type", "decoder": b"context_size", "joiner": b""}
LONGEST = 20 * RATE_HZ  # samples without a pause, after which the library's stream begins anew
FLUSH = RATE_HZ * 8 // 10  # samples of silence that bring out what is still held
MOST_OPEN = 256  # streams of the library


@dataclass(frozen=True)
class SherpaState:
    """A stream. Frames count from its start."""

    window: Tensor = field(default_factory=lambda: torch.zeros(0))  # (samples,) since the last pause
    samples: int = 0  # heard
    taken: int = 0  # words in the window that are certain already
    words: tuple[HeardWord, ...] = ()  # certain words that nobody has forgotten yet
    guess: tuple[HeardWord, ...] = ()  # the word that may still grow
    unheard: bool = False  # whether somebody spoke since the last pause
    level: Level = field(default_factory=Level)
    key: int = 0  # of the library's stream, where it is still open

    @property
    def frames(self) -> int:
        """Heard, the last of them perhaps in part."""
        return -(-self.samples // FRAME)


def check(folder: Path) -> Languages:
    """Nothing, since the files tell no language; CheckpointError that names what is missing or something else."""
    check_files(folder, WHAT, "tokens.txt")
    _pieces(folder)
    for part, needed in NEEDED.items():
        file = _file(folder, part)
        with file.open("rb") as opened:
            size = file.stat().st_size
            if not size or mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ).find(needed) < 0:
                raise CheckpointError(f"{folder} is not {WHAT}: {file.name} lacks {needed.decode()!r}")
    return Languages()


class SherpaRecogniser:
    """Implements `Recogniser` (models/seam.py)."""

    sample_rate_hz = RATE_HZ
    provides: frozenset[Need] = frozenset()
    segments = SegmentConfig(longest=MOST_WORDS)

    def __init__(self, folder: Path, language: str = "en") -> None:
        """UnavailableError where the extra is not installed, CheckpointError that names a missing or damaged file."""
        (library,) = imported("sherpa", "sherpa_onnx")
        check(folder)
        self.language = language
        self._shouts = not any(piece != piece.upper() for piece in _pieces(folder) if not piece.startswith("<"))
        files = {part: str(_file(folder, part)) for part in NEEDED}
        try:
            self._library: Any = library.OnlineRecognizer.from_transducer(
                tokens=str(folder / "tokens.txt"), **files, num_threads=1
            )
        except (RuntimeError, ValueError, AssertionError) as error:
            raise CheckpointError(f"{folder} is not {WHAT}: {str(error).splitlines()[0]}") from None
        self._open: OrderedDict[int, Any] = OrderedDict()

    def chunk_samples(self, chunk_ms: int) -> int:
        """The samples of a chunk; InputError unless a multiple of 20 ms between 160 and 2000."""
        return check_chunk(chunk_ms)

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> SherpaState:
        """Nothing heard. A glossary is not used."""
        del glossary
        return SherpaState()

    def hear_all(self, work: Sequence[Hear]) -> list[SherpaState]:
        """The library decodes the streams of all speakers together."""
        heard = [_after(one) for one in work]
        closing = [one.final or state.level.silent >= PAUSE or len(state.window) > LONGEST for one, state in
                   zip(work, heard, strict=True)]  # fmt: skip
        spoken = [n for n, state in enumerate(heard) if state.unheard]
        streams = {n: self._stream(work[n], heard[n], closing[n]) for n in spoken}
        while ready := [stream for stream in streams.values() if self._library.is_ready(stream)]:
            self._library.decode_streams(ready)
        for n, stream in streams.items():
            heard[n] = self._read(heard[n], stream, closing[n])
        return [state if state.unheard else _quiet(state) for state in heard]

    def listening(self, state: SherpaState) -> Listening:
        """Certain words and the one that may still grow."""
        silence_ms = min(state.level.silent, state.frames) * FRAME_MS
        return Listening(state.words + state.guess, len(state.words), state.frames, FRAME_MS, silence_ms)

    def forget(self, state: SherpaState, words: int, frame: int, labels: int | None = None) -> SherpaState:
        """The first `words`; one that may still grow is certain then, and what it grows by is lost."""
        del frame, labels
        grown = max(0, words - len(state.words))
        return replace(
            state,
            words=(state.words + state.guess[:grown])[words:],
            guess=state.guess[grown:],
            taken=state.taken + grown,
        )

    def _stream(self, work: Hear, state: SherpaState, closing: bool) -> Any:
        """The library's stream of a speaker, with what is new, or all since the last pause, given to it."""
        stream = self._open.pop(state.key, None)
        pcm = work.pcm if stream is not None else state.window.numpy()
        stream = self._library.create_stream() if stream is None else stream
        stream.accept_waveform(RATE_HZ, np.ascontiguousarray(pcm, dtype=np.float32))
        if closing:
            stream.accept_waveform(RATE_HZ, np.zeros(FLUSH, np.float32))
            stream.input_finished()
        return stream

    def _read(self, state: SherpaState, stream: Any, closing: bool) -> SherpaState:
        """The state with the words of its stream, all certain but the last, which is too where the stream closes."""
        start = (state.samples - len(state.window)) // FRAME
        pieces, times_s = self._library.tokens(stream), self._library.timestamps(stream)
        words = self._words(pieces, times_s, start, state.frames)
        sure = len(words) if closing else max(state.taken, len(words) - 1)
        state = replace(state, words=state.words + words[state.taken : sure], guess=words[sure:], taken=sure)
        if closing:
            window = (
                state.window if state.level.silent >= PAUSE else state.window[:0]
            )  # what was read is not read twice
            return _quiet(replace(state, window=window, taken=0, key=0, unheard=False))
        key = secrets.randbits(62) + 1
        self._open[key] = stream
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        return replace(state, key=key)

    def _words(self, pieces: Sequence[str], times_s: Sequence[float], start: int, frames: int) -> tuple[HeardWord, ...]:
        """Pieces joined to words; the space of a piece begins one."""
        texts: list[str] = []
        firsts: list[int] = []
        last = start
        for piece, at_s in zip(pieces, times_s, strict=True):
            last = min(start + int(1000 * at_s / FRAME_MS), max(frames - 1, start))
            if piece.startswith((" ", "▁")) or not texts:
                texts.append("")
                firsts.append(last)
            texts[-1] += piece.strip(" ▁")
        ends = [*(first - 1 for first in firsts[1:]), min(last + 4, max(frames - 1, start))]
        made = (
            HeardWord(text.lower() if self._shouts else text, first, max(first, end))
            for text, first, end in zip(texts, firsts, ends, strict=False)
        )
        return tuple(word for word in made if word.text)


def _after(work: Hear) -> SherpaState:
    """The state with a chunk behind what was heard, not read yet."""
    state: SherpaState = work.state
    level = listen(work.pcm, state.level, FRAME, RATE_HZ)
    window = torch.cat([state.window, torch.from_numpy(np.ascontiguousarray(work.pcm, dtype=np.float32))])
    unheard = state.unheard or level.loud
    return replace(state, window=window, samples=state.samples + len(work.pcm), level=level, unheard=unheard)


def _quiet(state: SherpaState) -> SherpaState:
    """Only the last frames of the window stay, for a word that begins softly."""
    return replace(state, window=state.window[max(0, len(state.window) - KEPT * FRAME) :].clone())


def _file(folder: Path, part: str) -> Path:
    """The file of a part, the one of 8 bits where there are several; CheckpointError where there is none."""
    found = sorted(folder.glob(f"{part}*.onnx"), key=lambda file: (".int8." not in file.name, file.name))
    if not found:
        raise CheckpointError(f"{folder} is not {WHAT}: {part}*.onnx is missing")
    return found[0]


def _pieces(folder: Path) -> list[str]:
    """What is in tokens.txt: a piece and its number a line; CheckpointError for another file."""
    try:
        lines = (folder / "tokens.txt").read_text(encoding="utf-8").splitlines()
        return [line.rsplit(maxsplit=1)[0] for line in lines if line.strip() and int(line.rsplit(maxsplit=1)[1]) >= 0]
    except (ValueError, IndexError):
        raise CheckpointError(f"{folder} is not {WHAT}: tokens.txt does not have a piece and a number a line") from None
