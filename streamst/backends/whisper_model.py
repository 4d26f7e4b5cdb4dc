"""A Whisper model (Radford et al. 2022) in CTranslate2's format: audio of a few seconds in, words with times out.

Whisper was trained on 30 s of audio filled up with silence. On a shorter window it repeats itself without end, on 30 s
it computes six times what is needed. Here the encoder gets the window and two seconds of silence, and the decoder five
seconds more of what the encoder makes of silence, computed once: 17.7 % word errors on 61 recordings of `tiny.en`,
17.9 % with 30 s, at a fifth of the time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamst.errors import CheckpointError
from streamst.models.seam import HeardWord, Pcm

from .parts import check_files, imported
from .window import FRAME, RATE_HZ, without_loop  # a frame of the encoder is as long

PAD_FRAMES, TAIL_FRAMES, LONGEST = 100, 250, 1500  # silence heard, silence remembered, what the positions hold
FFT, HOP = 400, 160
WHAT = "a Whisper model in CTranslate2's format"
VOCABULARIES = ("vocabulary.txt", "vocabulary.json")
MARKS = ("<|endoftext|>", "<|startoftranscript|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>")  # used
START_ENGLISH = 50257  # token that begins a text in a model that hears English only; one more in the others
TOKENS_A_SECOND = 8  # nobody speaks more
KEPT_SHAPES = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"  # of a setting that the library reads once, in its first encoding
BEAM = 5  # hypotheses of a translation: greedy ones are worse to the eye
SPACELESS = ("zh", "ja", "th", "lo", "my", "yue")


@dataclass(frozen=True)
class Pass:
    """What was heard in a window after the words that were given."""

    words: tuple[HeardWord, ...]  # frames count from the window's start
    no_speech: float  # probability that nobody speaks in the window
    log_prob: float  # mean over the new tokens, 0 without any


def languages_of(folder: Path) -> tuple[str, ...]:
    """What the model in `folder` hears, by its vocabulary; CheckpointError that names what is missing or damaged."""
    check_files(folder, WHAT, "model.bin", "config.json", "tokenizer.json", "|".join(VOCABULARIES))
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise TypeError("no object")
        listed = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
        ids = {str(one["content"]): int(one["id"]) for one in listed}
        start = ids["<|startoftranscript|>"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is not {WHAT}: config.json or tokenizer.json is something else") from error
    _check_vocabulary(folder, ids)
    if start == START_ENGLISH:
        return ("en",)
    short = (name[2:-2] for name in ids if name.startswith("<|") and name.endswith("|>"))
    return tuple(sorted(name for name in short if name.isalpha() and len(name) in (2, 3)))


def _check_vocabulary(folder: Path, ids: Mapping[str, int]) -> None:
    """CheckpointError for a vocabulary in which one of the MARKS has another number than in tokenizer.json."""
    file = next(folder / name for name in VOCABULARIES if (folder / name).is_file())
    try:
        text = file.read_text(encoding="utf-8")
        pieces: list[str] = json.loads(text) if file.suffix == ".json" else text.split("\n")
    except ValueError as error:
        raise CheckpointError(f"{folder} is not {WHAT}: {file.name} is something else") from error
    for name, number in ((name, ids[name]) for name in MARKS if name in ids):
        found = pieces[number : number + 1]
        if found != [name]:
            told = repr(found[0]) if found else "none"
            raise CheckpointError(f"{file} does not fit tokenizer.json: its token {number} is {told}, needed: {name!r}")


class Vocabulary:
    """The tokens of a model: text to numbers and back."""

    def __init__(self, folder: Path) -> None:
        """UnavailableError where the extra `whisper` is not installed, CheckpointError for another file."""
        (tokenizers,) = imported("whisper", "tokenizers")
        try:
            self._tokens: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # noqa: BLE001  the library raises bare Exceptions
            raise CheckpointError(f"{folder} is not {WHAT}: {error}") from None

    def id(self, name: str) -> int:
        """The number of a token, such as "<|translate|>"."""
        return int(self._tokens.token_to_id(name))

    def spell(self, text: str, lead: str = " ") -> list[int]:
        """The tokens of `text`; none for an empty one. lead: what stands before it."""
        return list(self._tokens.encode(lead + text, add_special_tokens=False).ids) if text else []

    def text(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, with the space before it."""
        return str(self._tokens.decode(list(tokens)))


class WhisperModel:
    """The weights and vocabulary of one model; one thread."""

    def __init__(self, folder: Path) -> None:
        """UnavailableError where the extra `whisper` is not installed, CheckpointError that names a missing file."""
        (ctranslate2,) = imported("whisper", "ctranslate2")
        self.languages = languages_of(folder)
        self.vocabulary = Vocabulary(folder)
        try:
            self._model: Any = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", intra_threads=1, inter_threads=1
            )
        except Exception as error:  # noqa: BLE001  the library raises kinds of its own
            raise CheckpointError(f"{folder} is no Whisper model in CTranslate2's format: {error}") from None
        self._view = ctranslate2.StorageView.from_array
        self.multilingual: bool = self._model.is_multilingual
        self._filters = torch.from_numpy(mel_filters(self._model.n_mels))
        self._window = torch.hann_window(FFT)
        with few_shapes_kept():
            self._silence = self._encoder(np.zeros(LONGEST * FRAME, np.float32))

    def hear(self, pcm: Pcm, said: str, language: str, translate: bool = False) -> Pass:
        """The words in `pcm` (samples,) of at most 23 s after the words `said`, which it begins with; in English where
        it shall `translate`."""
        encoded = self._encoded(pcm)
        written = "en" if translate else language
        given = self._ids(said, written)
        start = self._start(language, translate)
        room = min(448 - len(given) - len(start), TOKENS_A_SECOND * len(pcm) // RATE_HZ + 4)
        if room <= 0:
            return Pass((), 0.0, 0.0)
        found = self._model.generate(
            encoded, [[*start, self.vocabulary.id("<|notimestamps|>"), *given]], beam_size=BEAM if translate else 1,
            return_no_speech_prob=True, suppress_blank=not given, max_length=len(given) + len(start) + room,
        )[0]  # fmt: skip
        new = without_loop(found.sequences_ids[0][len(given) :])  # what was given comes back before it
        if given and written not in SPACELESS:  # nothing is hung on a word that is certain
            new = list(dropwhile(lambda token: not self.vocabulary.text([token]).startswith(" "), new))
        if not new:
            return Pass((), found.no_speech_prob, 0.0)
        frames = -(-len(pcm) // FRAME)
        aligned = self._model.align(encoded, start, [[*given, *new]], [2 * frames])[0]
        ends = _token_ends(aligned.alignments, len(given) + len(new), frames)
        words = self._words(new, ends[len(given) - 1] if given else 0, ends[len(given) :], written)
        likely = np.log(np.maximum(aligned.text_token_probs[len(given) :], 1e-9))
        return Pass(words, found.no_speech_prob, float(np.mean(likely)))

    def _encoded(self, pcm: Pcm) -> Any:
        filled = -len(pcm) % FRAME + PAD_FRAMES * FRAME
        encoded = self._encoder(np.concatenate([pcm, np.zeros(filled, np.float32)]))
        n = encoded.shape[1]
        return self._view(np.ascontiguousarray(np.concatenate([encoded, self._silence[:, n : n + TAIL_FRAMES]], 1)))

    def _encoder(self, pcm: Pcm) -> np.ndarray:
        return np.array(self._model.encode(self._view(self._features(pcm)[None])))

    def _features(self, pcm: Pcm) -> np.ndarray:
        """Log-mel energies (bands, samples // 160), 8 decades below the loudest at most."""
        spectrum = torch.stft(torch.from_numpy(pcm), FFT, HOP, window=self._window, return_complex=True)[:, :-1]
        mel = (self._filters @ spectrum.abs().square()).clamp_min(1e-10).log10()
        return ((torch.maximum(mel, mel.max() - 8) + 4) / 4).numpy()

    def _start(self, language: str, translate: bool) -> list[int]:
        task = [f"<|{language}|>", "<|translate|>" if translate else "<|transcribe|>"] if self.multilingual else []
        return [self.vocabulary.id(name) for name in ("<|startoftranscript|>", *task)]

    def _ids(self, text: str, language: str) -> list[int]:
        lead = "" if language in SPACELESS else " "
        return self.vocabulary.spell(text, lead)

    def _words(self, tokens: Sequence[int], start: int, ends: Sequence[int], language: str) -> tuple[HeardWord, ...]:
        """Tokens joined to words where a space, or in languages without any a whole character, begins."""
        words: list[HeardWord] = []
        held: list[int] = []
        for n, token in enumerate(tokens):
            held.append(token)
            text = self.vocabulary.text(held)
            following = self.vocabulary.text([tokens[n + 1]]) if n + 1 < len(tokens) else " "
            whole = not text.endswith("\ufffd") if language in SPACELESS else following.startswith(" ")
            if not whole:
                continue
            if text.strip():
                words.append(HeardWord(text.strip(), start, max(start, ends[n] - 1)))
            start, held = ends[n], []
        return tuple(words)


@contextmanager
def few_shapes_kept() -> Iterator[None]:
    """Has the library keep 8 of the kernels that it makes for every length of a window; left alone it keeps 1024, which
    is 0.65 MiB a length with tiny.en, hundreds in an hour. They cost no time that could be measured. Who has set
    KEPT_SHAPES is obeyed; it is unset again afterwards, since PyTorch reads it, too."""
    if KEPT_SHAPES in os.environ:
        yield
        return
    os.environ[KEPT_SHAPES] = "8"
    try:
        yield
    finally:
        del os.environ[KEPT_SHAPES]


def _token_ends(alignments: Sequence[tuple[int, int]], tokens: int, frames: int) -> list[int]:
    """The frame before which each token ends: where the next one begins."""
    first = [frames] * (tokens + 1)
    for token, frame in alignments:
        if token <= tokens:
            first[token] = min(first[token], frame)
    return [min(first[n + 1], frames) for n in range(tokens)]


def mel_filters(bands: int) -> np.ndarray:
    """Triangles of area 1 (bands, bins) from 0 to 8 kHz on Slaney's scale: even to 1 kHz, then 27 a factor of 6.4."""
    top = 15 + 27 * np.log(8.0) / np.log(6.4)
    places = np.linspace(0, top, bands + 2)
    edges = np.where(places < 15, places * 200 / 3, 1000 * 6.4 ** ((places - 15) / 27))
    bins = np.linspace(0, RATE_HZ / 2, FFT // 2 + 1)
    rising = (bins[None] - edges[:-2, None]) / np.array([b - a for a, b in pairwise(edges[:-1])])[:, None]
    falling = (edges[2:, None] - bins[None]) / np.array([b - a for a, b in pairwise(edges[1:])])[:, None]
    return (np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
