"""Human recordings (a folder with `manifest.tsv`) as training cuts, with the phonemes of their transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streamst.errors import InputError
from streamst.languages.english import spoken_english
from streamst.train.cuts import SAMPLE_RATE_HZ, ShardWriter, Utterance, merge_manifests
from streamst.train.manifest import read_manifest
from streamst.train.synthesis import phonemes

LEVEL_RMS = 0.07  # -23 dBFS


def load(path: Path) -> NDArray[np.float32]:
    """Mono audio (samples,) at 16 kHz, its RMS level at -23 dBFS."""
    try:
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"recording {path} cannot be read: {error.error_string}") from error
    mono = np.asarray(soxr.resample(audio.mean(1), rate_hz, SAMPLE_RATE_HZ), dtype=np.float32)
    return mono * (LEVEL_RMS / max(1e-4, float(np.sqrt(np.mean(mono**2)))))


def prepare(folders: Sequence[Path], directory: Path, split: str = "train", workers: int = 2) -> Path:
    """Write the `split` of every folder as shards under `directory`; returns the cut manifest.

    Raises InputError where no folder has recordings of the split, or one of them cannot be read.
    """
    directory.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[Path, list[dict[str, str]], Path]] = []
    for folder in folders:
        rows = read_manifest(folder / "manifest.tsv", split)
        for start in range(0, len(rows), 400):
            jobs.append((folder, rows[start : start + 400], directory / f"{folder.name}-{start // 400:03d}"))
    if not jobs:
        named = ", ".join(str(folder / "manifest.tsv") for folder in folders)
        raise InputError(f"{named}: no recording has {split!r} in the column `split`")
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_shard, *zip(*jobs, strict=True)))
    return merge_manifests([job[2] for job in jobs], directory / "cuts.jsonl.gz")


def _shard(folder: Path, rows: Sequence[dict[str, str]], path: Path) -> None:
    if path.with_suffix(".jsonl").exists():
        return
    with ShardWriter(path) as writer:
        for row in rows:
            text = spoken_english(row["text"])
            if not text:
                continue
            written = "" if row["text"].isupper() else row["text"]
            name = f"{folder.name}-{Path(row['path']).stem}"
            writer.write(
                load(folder / row["path"]),
                Utterance(name, text, row.get("speaker") or "", phones=phonemes(text), written=written),
            )
