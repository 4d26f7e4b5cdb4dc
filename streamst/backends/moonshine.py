"""Moonshine models (Jeffries et al. 2024) as streaming recognisers; extra `moonshine`.

The library cannot be told what was said already, and gives no times of words: after each chunk the window is heard
anew, what is certain is found again in it, and words share the time in which the library's own detector hears speech.
The models write a word or two for any noise, so only such speech is given to them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamst.errors import CheckpointError, InputError
from streamst.models.seam import HeardWord, Pcm

from .parts import Languages, check_files, imported
from .window import FRAME, PAUSE, RATE_HZ, Bounds, WindowRecogniser, WindowState, without_loop

WHAT = "a Moonshine model"
NAME = re.compile(r"((?:tiny|base|small|medium)(?:-streaming)?)-([a-z]{2})")  # as the library names its folders
WHOLE = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
STREAMING = ("frontend.ort", "encoder.ort", "adapter.ort", "cross_kv.ort", "decoder_kv.ort", "streaming_config.json",
             "tokenizer.bin")  # fmt: skip
# The window is heard from its start each time: a shorter one than Whisper's.
BOUNDS = Bounds(enough=150, most=400)
FLUSH = RATE_HZ // 2  # samples of silence after which the detector has forgotten what it heard before
SHORTEST = 15  # frames of speech that are worth a pass
EDGE = 5  # frames before and after what the detector hears


def languages_of(folder: Path) -> Languages:
    """What the model in `folder` hears, by its name; CheckpointError that names what is missing."""
    return Languages(source=(_named(folder)[1],))


class MoonshineRecogniser(WindowRecogniser):
    """Implements `Recogniser` (models/seam.py)."""

    def __init__(self, folder: Path, language: str = "en") -> None:
        """UnavailableError where the extra is not installed, CheckpointError that names a missing or damaged file,
        InputError for another language than the model's."""
        names = ("transcriber", "moonshine_api", "errors")
        library, api, errors = imported("moonshine", *(f"moonshine_voice.{name}" for name in names))
        size, hears = _named(folder)
        if language != hears:
            raise InputError(f"{folder} does not hear {language!r}; allowed: {hears}")
        arch, quiet = api.string_to_model_arch(size), {"return_audio_data": "false"}
        try:
            self._words: Any = library.Transcriber(folder, arch, options={**quiet, "vad_threshold": "0"})
            self._speech: Any = library.Transcriber(folder, arch, options={**quiet, "skip_transcription": "true"})
        except (errors.MoonshineError, OSError, ValueError) as error:
            raise CheckpointError(f"{folder} is not {WHAT}: {str(error).splitlines()[0]}") from None
        super().__init__(self._heard, language, BOUNDS, agreed)

    def transcribe(self, pcm: Pcm) -> list[str]:
        """The words of the speech in `pcm` (samples,)."""
        return [word for word, _ in self._timed(pcm)]

    def _heard(self, state: WindowState) -> tuple[HeardWord, ...]:
        found = self._timed(state.window.numpy())
        skip = following(state.given, [word for word, _ in found])
        free = state.given[-1].last_frame + 1 if state.given else state.start
        words = []
        for text, (first, last) in found[skip:]:
            first = min(max(free, state.start + first), state.frames - 1)
            words.append(HeardWord(text, first, max(first, min(state.start + last, state.frames - 1))))
            free = words[-1].last_frame + 1
        return tuple(words)

    def _timed(self, pcm: Pcm) -> list[tuple[str, tuple[int, int]]]:
        """Words with their first and last frame in `pcm`."""
        spoken = self._spoken(pcm)
        if spoken.sum() < SHORTEST:
            return []
        frames = np.flatnonzero(spoken)
        first, behind = max(0, int(frames[0]) - EDGE) * FRAME, (int(frames[-1]) + 1 + EDGE) * FRAME
        speech = np.concatenate([pcm[first:behind], np.zeros(FLUSH, np.float32)])  # else it loops at a cut word
        lines = self._words.transcribe_without_streaming(speech, RATE_HZ).lines
        words = [word for line in lines for word in line.text.split() if bare(word)]
        words = words[: len(without_loop(list(map(bare, words))))]
        return list(zip(words, shares(words, frames), strict=True))

    def _spoken(self, pcm: Pcm) -> np.ndarray:
        """For each frame of `pcm`, whether the detector hears speech in it."""
        heard = self._speech.transcribe_without_streaming(np.concatenate([np.zeros(FLUSH, np.float32), pcm]), RATE_HZ)
        spoken = np.zeros(-(-len(pcm) // FRAME), bool)
        for line in heard.lines:
            first, last = (
                (at_s * RATE_HZ - FLUSH) / FRAME for at_s in (line.start_time, line.start_time + line.duration)
            )
            if last > 0:
                spoken[max(0, int(first)) : max(0, round(last))] = True
        return spoken


def agreed(before: Sequence[HeardWord], now: Sequence[HeardWord], frames: int) -> int:
    """How many words two passes begin with alike but for marks; the last of a pass may be cut off, unless a pause of
    speech follows it before the last of the `frames` heard."""
    whole = now if now and now[-1].last_frame < frames - PAUSE else now[:-1]
    pairs = zip(before, whole, strict=False)
    unlike = (n for n, (a, b) in enumerate(pairs) if bare(a.text) != bare(b.text))
    return next(unlike, min(len(before), len(whole)))


def following(given: Sequence[HeardWord], words: Sequence[str]) -> int:
    """How many of `words` are those `given`, heard again and perhaps a little otherwise: the beginning of `words` with
    the fewest edits, of several the one that is nearest in length."""
    said = [bare(word.text) for word in given]
    edits = [float(n) for n in range(len(words) + 1)]  # from the given words so far to each beginning
    for number, word in enumerate(said, 1):
        above, edits = edits, [float(number)]
        for n, other in enumerate(words):
            edits.append(min(above[n] + unlike(word, bare(other)), above[n + 1] + 1, edits[n] + 1))
    return min(range(len(edits)), key=lambda n: (edits[n], abs(n - len(said))))


def unlike(one: str, other: str) -> float:
    """0 for the same word, 1 for one that begins with another letter."""
    longer = max(len(one), len(other), 1)
    pairs = enumerate(itertools.zip_longest(one, other))
    return 1 - next((n for n, (a, b) in pairs if a != b), longer) / longer


def shares(words: Sequence[str], frames: np.ndarray) -> list[tuple[int, int]]:
    """First and last of the ascending `frames` of each word, by its letters."""
    ends = np.cumsum([len(word) + 1 for word in words])
    places = [0, *(ends * len(frames) // max(1, int(ends[-1]) if len(ends) else 1)).tolist()]
    return [(int(frames[min(a, len(frames) - 1)]), int(frames[max(a, b - 1) if a < len(frames) else -1]))
            for a, b in itertools.pairwise(places)]  # fmt: skip


def bare(word: str) -> str:
    """`word` in lower case, its letters and digits."""
    return "".join(letter for letter in word.lower() if letter.isalnum() or letter == "'")


def _named(folder: Path) -> tuple[str, str]:
    """Size and language of the model in `folder`; InputError for a name that does not tell, CheckpointError for a file
    that is missing."""
    name = NAME.fullmatch(folder.resolve().name)
    if name is None:
        raise InputError(f"{folder} does not say which Moonshine model it is; needed: a folder named like tiny-en")
    check_files(folder, WHAT, *(STREAMING if "streaming" in name[1] else WHOLE))
    return name[1], name[2]
