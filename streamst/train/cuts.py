"""Training speech on disk: WAV shards with lhotse cuts that point into them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True)
class Utterance:
    """What is known of one piece of speech."""

    id: str
    text: str  # spoken form
    speaker: str
    translation: str = ""
    phones: Sequence[str] = ()
    marks: Sequence[tuple[str, float]] = field(default_factory=list)  # (phoneme, end time [s]), pauses as "pau"
    written: str = ""  # the text as it was written, cased and punctuated; "" where unknown


class ShardWriter:
    """Writes utterances one after another into `path`.wav, and what is known of them to `path`.jsonl when closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sound = soundfile.SoundFile(path.with_suffix(".wav"), "w", SAMPLE_RATE_HZ, 1, "PCM_16")
        self._rows: list[dict[str, object]] = []
        self._samples = 0

    def write(self, audio: NDArray[np.float32], utterance: Utterance) -> None:
        """Append `audio` (samples,) at 16 kHz."""
        peak = float(np.abs(audio).max(initial=0.0))
        self._sound.write(audio * min(1.0, 0.98 / peak) if peak else audio)
        row = {"start": self._samples, "samples": len(audio), **utterance.__dict__}
        self._rows.append(row)
        self._samples += len(audio)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sound.close()
        if kind is None:
            lines = (json.dumps(row, ensure_ascii=False) for row in self._rows)
            self._path.with_suffix(".jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def merge_manifests(shards: Sequence[Path], manifest: Path) -> Path:
    """One lhotse cut manifest over finished shards, paths relative to the current directory."""
    cuts = []
    for shard in shards:
        recording = Recording.from_file(shard.with_suffix(".wav"), recording_id=f"{shard.parent.name}-{shard.name}")
        for line in shard.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            duration = row["samples"] / SAMPLE_RATE_HZ
            custom = {key: row[key] for key in ("translation", "phones", "marks", "written")}
            supervision = SupervisionSegment(
                id=row["id"], recording_id=recording.id, start=0.0, duration=duration, text=row["text"],
                speaker=row["speaker"], custom=custom,
            )  # fmt: skip
            start = row["start"] / SAMPLE_RATE_HZ
            cuts.append(MonoCut(row["id"], start, duration, 0, supervisions=[supervision], recording=recording))
    CutSet.from_cuts(cuts).to_file(manifest)
    return manifest
