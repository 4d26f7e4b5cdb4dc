"""What tests of evaluation runs share: four short recordings, options, and reports without computing times."""

from __future__ import annotations

from pathlib import Path

from streamst.audio import read_audio, write_wav
from streamst.evaluate.log.manifest import Manifest, read_manifest
from streamst.evaluate.report.write import score_run
from streamst.evaluate.run.options import RunOptions

STATION = Path(__file__).parent / "data" / "station.flac"
HEADER = "path\tduration_s\tspeaker\ttext\ttranslation\n"


def short_clips(folder: Path) -> Manifest:
    """Four recordings of 0.7 to 1.1 s, cut from one sentence, in `folder`."""
    pcm = read_audio(STATION)
    rows = [HEADER]
    for index, (start, end) in enumerate(((0.0, 1.1), (0.6, 1.3), (1.2, 2.1), (1.9, 2.9))):
        write_wav(folder / f"{index}.wav", pcm[round(16_000 * start) : round(16_000 * end)], 16_000)
        rows.append(f"{index}.wav\t{end - start:.3f}\tspeaker {index}\tgood morning\tguten Morgen zusammen\n")
    (folder / "manifest.tsv").write_text("".join(rows))
    return read_manifest(folder / "manifest.tsv")


def options(model: Path, policy: str = "wait-k:k=1", **changes: object) -> RunOptions:
    return RunOptions(model=str(model), policy=policy, chunk_ms=320, speech=False, **changes)  # type: ignore[arg-type]


def without_computation(folder: Path) -> dict:
    """The report of a run without what depends on how fast this machine was."""
    found = score_run(folder, resamples=100).score.as_json()
    del found["failures"]["is slower than the speaker"]

    def timeless(names: dict) -> dict:
        return {name: value for name, value in names.items() if "_CA_" not in name and name != "RTF"}

    for part in ("metrics", "intervals", "percentiles"):
        found[part] = timeless(found[part])
    for row in found["rows"]:
        row["values"] = timeless(row["values"])
    return found
