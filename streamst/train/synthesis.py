"""Synthetic English speech for the sentence pairs, by Debian's `flite` and `espeak-ng`.

Speech goes to WAV shards (16 kHz PCM) with a lhotse cut manifest beside them. A cut's supervision carries the spoken
form of the text, the translation, the phonemes, and from flite also each phoneme's end time (`flite -psdur`).
The same plan and seed give the same speech. Sentences of any dev or test file never get a voice.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streamst.errors import InputError, UnavailableError
from streamst.languages.english import spoken_english
from streamst.train.cuts import ShardWriter, Utterance, merge_manifests

SAMPLE_RATE_HZ = 16_000
FLITE_VOICES = ("slt", "rms", "awb", "kal16")
ESPEAK_ACCENTS = ("en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-us-nyc")
ESPEAK_VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8",
                   "+Annie", "+Andrea", "+Michael", "+Steph", "+Alex", "+John", "+Nicky",
                   "+Tweaky", "+Lee", "+Gene", "+Denis")  # fmt: skip


@dataclass(frozen=True)
class Take:
    """One sentence to be spoken: everything that decides the audio."""

    id: str
    text: str
    translation: str
    engine: str  # "flite", "espeak-ng" or "festival"
    voice: str
    rate: float = 1.0  # tempo, 1 is the voice's own
    pitch: int = 50  # espeak-ng's 0-99


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The (English, German) pairs of a tab-separated file; InputError names file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"sentence pairs {path}: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise InputError(f"{path}:{number}: expected English TAB German, found {line[:60]!r}")
        pairs.append((columns[0].strip(), columns[1].strip()))
    return pairs


def plan(
    pairs: Sequence[tuple[str, str]], count: int, espeak_share: float, excluded: Iterable[str], seed: int
) -> list[Take]:
    """`count` takes over distinct English sentences, whose spoken form is in none of the `excluded` sentences."""
    banned = {spoken_english(text) for text in excluded}
    chosen: dict[str, tuple[str, str]] = {}
    order = list(pairs)
    random.Random(seed).shuffle(order)
    for english, german in order:
        if len(chosen) == count:
            break
        key = spoken_english(english)
        if key and key not in banned and key not in chosen and len(key.split()) <= 20:
            chosen[key] = (english, german)
    draw = random.Random(seed + 1)
    takes = []
    for index, (english, german) in enumerate(chosen.values()):
        rate = draw.uniform(0.8, 1.25)
        if draw.random() < espeak_share:
            voice = draw.choice(ESPEAK_ACCENTS) + draw.choice(ESPEAK_VARIANTS)
            takes.append(Take(f"e{seed}-{index}", english, german, "espeak-ng", voice, rate, draw.randint(20, 80)))
        else:
            voice = draw.choices(FLITE_VOICES, (0.4, 0.25, 0.25, 0.1))[0]
            takes.append(Take(f"f{seed}-{index}", english, german, "flite", voice, rate))
    return takes


def synthesise(takes: Sequence[Take], directory: Path, workers: int = 2, per_shard: int = 1000) -> Path:
    """Speak `takes` into `directory`; returns the manifest. Finished shards are not made again."""
    engines = {take.engine for take in takes}
    for engine in engines:
        program = {"festival": "text2wave"}.get(engine, engine)
        if not shutil.which(program):
            raise UnavailableError(f"{program} is not installed: apt-get install {engine}")
    directory.mkdir(parents=True, exist_ok=True)
    shards = [takes[i : i + per_shard] for i in range(0, len(takes), per_shard)]
    jobs = [(shard, directory / f"shard-{number:04d}") for number, shard in enumerate(shards)]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_shard, *zip(*jobs, strict=True)))
    return merge_manifests([path for _, path in jobs], directory / "cuts.jsonl.gz")


def speak(take: Take) -> tuple[NDArray[np.float32], list[tuple[str, float]]]:
    """Audio (samples,) at 16 kHz and, from flite, (phoneme, end time in s) pairs, else []."""
    text = take.text if not any(c.isdigit() or c in "$€£%&" for c in take.text) else spoken_english(take.text)
    text = text.replace('"', "").lstrip("-").strip() or spoken_english(take.text)
    marks: list[tuple[str, float]] = []
    scratch = (
        Path(f"/dev/shm/streamst-{take.id}.wav") if Path("/dev/shm").is_dir() else Path(f"/tmp/streamst-{take.id}.wav")
    )
    if take.engine == "flite":
        command = [
            "flite",
            "-voice",
            take.voice,
            "-psdur",
            "--setf",
            f"duration_stretch={1 / take.rate:.3f}",
            "-t",
            text,
            "-o",
            str(scratch),
        ]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        marks = [(label, float(end)) for label, end in (item.rsplit(":", 1) for item in printed.split())]
    elif take.engine == "espeak-ng":
        options = ["-v", take.voice, "-s", str(round(165 * take.rate)), "-p", str(take.pitch), "-w", str(scratch)]
        subprocess.run(["espeak-ng", *options, "--", text], check=True, capture_output=True)
    else:
        options = ["-eval", f"(voice_{take.voice})", "-o", str(scratch)]
        try:
            subprocess.run(["text2wave", *options], input=text, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise UnavailableError("text2wave is not installed: apt-get install festival") from None
        if not scratch.exists():  # festival says nothing of it
            raise UnavailableError(f"festival has no voice {take.voice!r}: apt-get install festvox-us-slt-hts")
    audio, rate_hz = soundfile.read(scratch, dtype="float32")
    scratch.unlink()
    return np.asarray(soxr.resample(audio, rate_hz, SAMPLE_RATE_HZ), dtype=np.float32), marks


def phonemes(text: str) -> list[str]:
    """The phonemes of English `text` by flite's dictionary and letter-to-sound rules, pauses left out."""
    command = ["flite", "-voice", "kal", "-ps", "-t", text, "-o", "none"]
    try:
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise UnavailableError("flite is not installed: apt-get install flite") from None
    return [p for p in printed.split() if p != "pau"]


def _shard(takes: Sequence[Take], path: Path) -> None:
    if path.with_suffix(".jsonl").exists():
        return
    with ShardWriter(path) as writer:
        for take in takes:
            audio, marks = speak(take)
            if len(audio) < SAMPLE_RATE_HZ // 5:
                continue
            phones = [label for label, _ in marks if label != "pau"] or phonemes(spoken_english(take.text))
            speaker = f"{take.engine}:{take.voice}"
            writer.write(
                audio,
                Utterance(take.id, spoken_english(take.text), speaker, take.translation, phones, marks, take.text),
            )


def spoken_set(
    pairs: Sequence[tuple[str, str]], directory: Path, voice: str = "cmu_us_slt_arctic_hts", workers: int = 2
) -> Path:
    """Speak `pairs` with a voice kept for testing into `directory`: FLAC files and the manifest for `bench`."""
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    takes = [Take(f"t{i:05d}", english, german, "festival", voice) for i, (english, german) in enumerate(pairs)]
    with ProcessPoolExecutor(workers) as pool:
        durations = list(pool.map(partial(_test_file, directory=directory), takes))
    lines = ["path\tduration_s\tspeaker\ttext\ttranslation"]
    lines += [
        f"audio/{t.id}.flac\t{d:.3f}\t{voice}\t{t.text}\t{t.translation}" for t, d in zip(takes, durations, strict=True)
    ]
    (directory / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory / "manifest.tsv"


def _test_file(take: Take, directory: Path) -> float:
    path = directory / "audio" / f"{take.id}.flac"
    if not path.exists():
        soundfile.write(path, speak(take)[0], SAMPLE_RATE_HZ)
    return soundfile.info(path).duration
