"""Who listens to speech output: an ASR command, a recogniser of this package or of a backend, or any callable.

Transcripts are cached by the hash of the audio. Without a recogniser there is no score: the call fails, it never
returns 0. One that fails on a clip says so in that clip's transcript, which is empty.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from streamst.audio import read_audio
from streamst.errors import InputError, UnavailableError

CHUNK_MS = 1280  # that a streaming recogniser hears at a time


@dataclass(frozen=True)
class SpokenWord:
    """A word and when it is heard [ms from the begin of the audio]."""

    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True)
class Transcript:
    """What was understood. words: with their times, where the recogniser tells them. failed: why there is none."""

    text: str
    words: tuple[SpokenWord, ...] = ()
    failed: str = ""


class Recogniser(Protocol):
    """Turns a wav file into text. `name` says which model and version, for signatures and the cache."""

    @property
    def name(self) -> str: ...

    def __call__(self, wav: Path) -> str | Transcript: ...


@dataclass(frozen=True)
class CommandRecogniser:
    """An ASR program: `command` with {wav} for the file; what it prints is the transcript."""

    command: tuple[str, ...]
    name: str

    def __call__(self, wav: Path) -> str:
        if not self.command or shutil.which(self.command[0]) is None:
            raise UnavailableError(f"the recogniser command {list(self.command)} is not installed")
        filled = [word.replace("{wav}", str(wav)) for word in self.command]
        done = subprocess.run(filled, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"recogniser {self.name!r} failed on {wav}: {done.stderr.strip()[-500:]}")
        return " ".join(done.stdout.split())


@dataclass(frozen=True)
class PartRecogniser:
    """A streaming recogniser (models/seam.py), which tells when each word was heard."""

    part: Any
    name: str
    _where: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def __call__(self, wav: Path) -> Transcript:
        from streamst.models.seam import Hear

        pcm = read_audio(wav, self.part.sample_rate_hz)
        size, state = self.part.chunk_samples(CHUNK_MS), self.part.init_state()
        for at in range(0, len(pcm), size):
            piece = np.ascontiguousarray(pcm[at : at + size])
            final = at + size >= len(pcm)
            (state,) = self.part.hear_all([Hear(piece, state, final and len(piece) < size, size)])
            if final and len(piece) == size:
                (state,) = self.part.hear_all([Hear(piece[:0], state, True, size)])
        heard = self.part.listening(state)
        longest_ms = 1000.0 * len(pcm) / self.part.sample_rate_hz
        words = tuple(
            SpokenWord(
                word.text,
                min(longest_ms, word.first_frame * heard.frame_ms),
                min(longest_ms, (word.last_frame + 1) * heard.frame_ms),
            )
            for word in heard.words
        )
        return Transcript(" ".join(word.text for word in words), words)


def named_recogniser(name: str, language: str) -> Recogniser:
    """The recogniser of speech in `language` that `name` means: "whisper:DIR", or one of the model's own.

    InputError for one that is not known, or hears another language; the errors of its parts.
    """
    from streamst.backends.parts import chosen
    from streamst.backends.recognisers import RECOGNISERS

    if ":" not in name:
        from streamst.pipeline import load

        part = load(recogniser=name, voice=None).recogniser
        if part.language != language:
            raise InputError(f"recogniser {name!r} hears {part.language!r}, but the speech is {language!r}")
        return PartRecogniser(part, name)
    found = chosen("recogniser", name, RECOGNISERS, ("own", "ear"))
    if found.languages.source and language not in found.languages.source:
        heard = ", ".join(found.languages.source[:5])
        raise InputError(f"recogniser {name!r} hears {heard}, but the speech is {language!r}")
    return PartRecogniser(found.backend.make(found.argument, language), name)


def transcribe(
    recogniser: Recogniser | None, wavs: Sequence[Path | None], cache: Path | None = None
) -> list[Transcript]:
    """The transcript of every wav, an empty one for None (no speech came out) and where the recogniser fails.

    cache: a folder that keeps transcripts by audio and recogniser, so that scoring again costs nothing.
    Raises UnavailableError without a recogniser, InputError for a missing wav.
    """
    if recogniser is None:
        raise UnavailableError("speech output needs a recogniser: give an ASR command (none is configured)")
    found = []
    for wav in wavs:
        if wav is None:
            found.append(Transcript(""))
            continue
        if not wav.is_file():
            raise InputError(f"{wav}: no such file; the recogniser needs the speech output")
        entry = None if cache is None else cache / f"{_key(recogniser, wav)}.json"
        if entry is not None and entry.is_file():
            found.append(_remembered(entry))
            continue
        try:
            said = recogniser(wav)
        except InputError as error:
            found.append(Transcript("", failed=str(error)))
            continue
        one = Transcript(said) if isinstance(said, str) else said
        if entry is not None:
            entry.parent.mkdir(parents=True, exist_ok=True)
            partial = entry.with_suffix(".partial")
            partial.write_text(json.dumps({"recogniser": recogniser.name, **asdict(one)}), encoding="utf-8")
            partial.replace(entry)
        found.append(one)
    return found


def _remembered(entry: Path) -> Transcript:
    kept = json.loads(entry.read_text(encoding="utf-8"))
    return Transcript(str(kept["text"]), tuple(SpokenWord(**word) for word in kept.get("words", ())))


def _key(recogniser: Recogniser, wav: Path) -> str:
    digest = hashlib.sha256(recogniser.name.encode() + b"\0")
    with wav.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
