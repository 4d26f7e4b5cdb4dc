"""Quality of speech output: recognise it with an ASR of your choice, then ASR-BLEU, ASR-chrF, ASR-WER or ASR-CER.

A recogniser is a command, or any callable with a name; its transcripts are cached by the hash of the audio. Without
one there is no score: the call fails, it never returns 0.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from streamst.errors import InputError, UnavailableError

from .normalise import normalise
from .quality import error_rate, sacrebleu_score
from .result import Metric

Silences = Literal["kept", "removed"]


class Recogniser(Protocol):
    """Turns a wav file into text. `name` says which model and version, for signatures and the cache."""

    @property
    def name(self) -> str: ...

    def __call__(self, wav: Path) -> str: ...


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


def transcribe(recogniser: Recogniser | None, wavs: Sequence[Path | None], cache: Path | None = None) -> list[str]:
    """The transcript of every wav, "" for None (no speech came out).

    cache: a folder that keeps transcripts by audio and recogniser, so that scoring again costs nothing.
    Raises UnavailableError without a recogniser, InputError for a missing wav.
    """
    if recogniser is None:
        raise UnavailableError("speech output needs a recogniser: give an ASR command (none is configured)")
    transcripts = []
    for wav in wavs:
        if wav is None:
            transcripts.append("")
            continue
        if not wav.is_file():
            raise InputError(f"{wav}: no such file; the recogniser needs the speech output")
        entry = None if cache is None else cache / f"{_key(recogniser, wav)}.json"
        if entry is not None and entry.is_file():
            transcripts.append(str(json.loads(entry.read_text(encoding="utf-8"))["text"]))
            continue
        text = recogniser(wav)
        if entry is not None:
            entry.parent.mkdir(parents=True, exist_ok=True)
            partial = entry.with_suffix(".partial")
            partial.write_text(json.dumps({"recogniser": recogniser.name, "text": text}), encoding="utf-8")
            partial.replace(entry)
        transcripts.append(text)
    return transcripts


def asr_score(
    name: str,
    transcripts: Sequence[str],
    references: Sequence[str],
    recogniser: str,
    normaliser: str,
    *,
    silences: Silences,
    tokenize: str = "13a",
) -> Metric:
    """ASR-BLEU, ASR-chrF, ASR-WER or ASR-CER; both sides go through `normaliser`.

    recogniser: its name. silences: whether the recognised audio had the pauses of real-time playback ("kept") or the
    speech alone ("removed"); the two differ by up to five BLEU points, so the signature says which it was.
    Raises InputError for another metric, and where all references are empty.
    """
    base = name.removeprefix("ASR-")
    if base == name or base not in ("BLEU", "chrF", "WER", "CER"):
        raise InputError(f"unknown metric {name!r}; allowed: ASR-BLEU, ASR-chrF, ASR-WER, ASR-CER")
    if base in ("WER", "CER"):
        result = error_rate(base, transcripts, references, normaliser)
    else:
        clean = ([normalise(t, normaliser) for t in texts] for texts in (transcripts, references))
        result = sacrebleu_score(base, *clean, tokenize=tokenize)
    if result is None:
        raise InputError(f"{name}: all references are empty")
    told = f"asr:{recogniser.replace('|', '/')}|silences:{silences}"
    told += "" if base in ("WER", "CER") else f"|norm:{normaliser}"
    return Metric(result.value, result.unit, f"{told}|{result.signature}")


def _key(recogniser: Recogniser, wav: Path) -> str:
    digest = hashlib.sha256(recogniser.name.encode() + b"\0")
    with wav.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
