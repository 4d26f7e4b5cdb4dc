"""Our exported logs, scored by the real SimulEval, OmniSTEval and simulstream, beside our own figures.

    python tests/benchmarks/third_party_scorers.py [--run DIR ...] [--venvs DIR] [--json FILE]

Each tool is installed by name in a virtual environment of its own. Without --run, three runs are made up from a seed
(short clips, talks in segments, speech): empty outputs, too long ones and waits of every kind are in them. Exits with 1
when a figure differs by more than the tools' own rounding.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamst.audio import write_wav
from streamst.evaluate.formats.detect import Log, read_log
from streamst.evaluate.formats.export import export
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk, replay
from streamst.evaluate.report.score import Score, ScoreOptions, score
from streamst.evaluate.run.iwslt import write_submission

TOOLS = {
    "simuleval": ["simuleval==1.1.4"],
    "omnisteval": ["omnisteval==0.1.10", "simulstream==1.0.0"],  # whose logs it reads with its reader
    "simulstream": ["simulstream==1.0.0", "mweralign", "sacrebleu"],
}
WORDS = "ein Haus und der Hund heute nicht wir gehen schnell zur großen Stadt dort trinken".split()  # noqa: SIM905
LATENCIES = ("AL", "LAAL", "AP", "DAL", "ATD", "StartOffset", "EndOffset")


@dataclass(frozen=True)
class Figure:
    """One number of a tool beside ours. `slack`: half a unit of the last digit that the tool prints."""

    run: str
    tool: str
    name: str
    theirs: float
    ours: float
    slack: float

    @property
    def equal(self) -> bool:
        return abs(self.theirs - self.ours) <= self.slack + 1e-6 * max(abs(self.theirs), abs(self.ours))


def install(tool: str, folder: Path) -> Path:
    """The `bin` of the tool's own virtual environment."""
    home = folder / tool
    if not (home / "installed").exists():
        venv.create(home, with_pip=True, clear=home.exists())
        subprocess.run([home / "bin" / "pip", "install", "-q", *TOOLS[tool]], check=True)
        (home / "installed").touch()
    return home / "bin"


def call(*words: object) -> str:
    """What a command prints on its standard output; its errors are shown when it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\nfailed with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def by_simuleval(name: str, log: Log, ours: Score, work: Path, tools: Path) -> list[Figure]:
    """Latency and BLEU of utterances; offsets of speech. It has no notion of a talk in segments."""
    if any(recording.long_form for recording in log.recordings):
        return []
    out = work / "simuleval"
    export(log, "simuleval", out)
    theirs: dict[str, float] = {}
    for names in (LATENCIES[i : i + 2] for i in range(0, len(LATENCIES), 2)):  # a wider table is printed with gaps
        # With --computation-aware the columns without _CA hold the same as those with it: an error of 1.1.4.
        both = simuleval_table(tools, out, "--latency-metrics", *names, "--computation-aware")
        theirs |= {key: value for key, value in both.items() if key.endswith("_CA")}
    theirs |= simuleval_table(tools, out, "--latency-metrics", *LATENCIES[:4])
    theirs |= simuleval_table(tools, out, "--latency-metrics", *LATENCIES[4:])
    found = []
    for key, value in theirs.items():
        mine = key.replace("_CA", "_CA_simuleval")
        found.append(Figure(name, "SimulEval", mine, value, ours.metrics[mine].value, 5.1e-4))
    if (out / "speech").exists():
        kinds = ["--source-type", "speech", "--target-type", "speech"]
        offsets = ["--latency-metrics", "StartOffset", "EndOffset", "NumChunks"]
        for key, value in simuleval_table(tools, out / "speech", *kinds, *offsets).items():
            if key != "BLEU":  # of the paths of the wavs
                figure = Figure(name, "SimulEval speech", key, value, ours.metrics[f"{key}_speech"].value, 5.1e-4)
                found.append(figure)
    return found


def simuleval_table(tools: Path, folder: Path, *options: object) -> dict[str, float]:
    """The scores that SimulEval prints for a directory."""
    head, line = call(tools / "simuleval", "--score-only", "--output", folder, *options).strip().splitlines()[-2:]
    return dict(zip(head.split(), map(float, line.split()[1:]), strict=True))


def by_omnisteval(name: str, log: Log, ours: Score, work: Path, tools: Path) -> list[Figure]:
    """shortform, or longform with its own segmenter."""
    out = work / "omnisteval"
    export(log, "omnisteval", out)
    talks = any(recording.long_form for recording in log.recordings)
    files = ["--hypothesis_file", out / "hypothesis.jsonl", "--ref_sentences_file", out / "references.txt"]
    files.append("--word_level")
    if talks:
        files += ["--speech_segmentation", out / "segments.yaml"]
    call(tools / "omnisteval", "longform" if talks else "shortform", *files, "--output_folder", out / "scores")
    found = omnisteval_table(name, "OmniSTEval", ours, out / "scores", talks)
    if talks:  # what `bench iwslt` writes, as the task reads it; computation counts there as simulstream counts it
        task = work / "task"
        write_submission(log, task)
        files = ["--hypothesis_file", task / "metrics.jsonl", "--hypothesis_format", "simulstream", "--word_level"]
        files += ["--simulstream_config_file", task / "cfg.yaml", "--speech_segmentation", task / "segments.yaml"]
        files += ["--ref_sentences_file", task / "references.txt", "--output_folder", task / "scores"]
        call(tools / "omnisteval", "longform", *files)
        found += omnisteval_table(name, "IWSLT 2026", ours, task / "scores", talks, "simulstream")
    return found


def omnisteval_table(
    name: str, tool: str, ours: Score, folder: Path, talks: bool, clock: str = "queue"
) -> list[Figure]:
    """The figures of its `scores.tsv` beside ours; the computation-aware ones on `clock`."""
    found = []
    for line in (folder / "scores.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        key, value = line.split("\t")
        match = re.fullmatch(r"((?:Long)?(?:YAAL|AL|LAAL|AP|DAL)) \((CU|CA)\)", key)
        if match:
            base = match[1] + ("_omnisteval" if match[1] == "LongYAAL" else "")
            mine = base + (f"_CA_{clock}" if match[2] == "CA" else "")
        elif key in ("BLEU", "chrF"):
            mine = f"{key}_soft" if talks else key
        else:
            continue
        found.append(Figure(name, tool, mine, float(value), ours.metrics[mine].value, 5.1e-5))
    return found


def by_simulstream(name: str, log: Log, ours: Score, work: Path, tools: Path) -> list[Figure]:
    """StreamLAAL (LAAL of one segment a recording), RTF and normalised erasure."""
    out = work / "simulstream"
    export(log, "simulstream", out)
    files = ["--eval-config", out / "cfg.yaml", "--log-file", out / "metrics.jsonl"]
    references = ["--reference", out / "references.txt", "--audio-definition", out / "segments.yaml"]
    printed = call(tools / "simulstream_score_latency", *files, *references, "--scorer", "stream_laal")
    plain, aware = map(float, re.findall(r"=([-\d.e]+)", printed.splitlines()[-1])[:2])
    base = "StreamLAAL_simulstream" if any(r.long_form for r in log.recordings) else "LAAL"
    stats = json.loads(call(tools / "simulstream_stats", *files).partition("Stats: ")[2])
    pairs = [
        (base, 1000 * plain),
        (f"{base}_CA_simulstream", 1000 * aware),
        ("NE", stats["normalized_erasure"]["value"]),
        ("RTF", stats["real_time_factor"]["value"]),
    ]
    return [Figure(name, "simulstream", key, value, ours.metrics[key].value, 1e-6) for key, value in pairs]


SCORERS = {"simuleval": by_simuleval, "omnisteval": by_omnisteval, "simulstream": by_simulstream}


def made_up(kind: str, folder: Path) -> Log:
    """A run from a seed. clips: one reference each; talks: six segments each, words as the reference with mistakes."""
    chance = random.Random(kind)
    count = 4 if kind == "talks" else 30
    recordings = []
    for index in range(count):
        references: list[Reference] = []
        offset_ms = 0.0
        for _ in range(6 if kind == "talks" else 1):
            offset_ms += float(chance.randrange(0, 1500)) if kind == "talks" else 0.0
            words = [chance.choice(WORDS) for _ in range(chance.randrange(4, 14))]
            duration_ms = float(round(len(words) * chance.uniform(250, 450)))
            references.append(Reference(offset_ms, duration_ms, "x", " ".join(words)))
            offset_ms += duration_ms
        source_ms = offset_ms + (float(chance.randrange(0, 900)) if kind == "talks" else 0.0)
        target = [word for reference in references for word in str(reference.translation).split()]
        said = [chance.choice(WORDS) if chance.random() < 0.1 else word for word in target if chance.random() > 0.06]
        said += [chance.choice(WORDS) for _ in range(chance.choice((0, 0, 0, 5)))]
        if kind == "clips" and index == 7:
            said = []
        lag_ms = chance.uniform(200, 2500)
        steps: list[Step] = []
        standing: list[str] = []
        heard_ms = 0.0
        while heard_ms < source_ms:
            heard_ms = min(source_ms, heard_ms + 320.0)
            share = 1.0 if heard_ms == source_ms else max(0.0, (heard_ms - lag_ms) / source_ms)
            new = said[len(standing) : round(share * len(said))]
            gone: list[str] = []
            if kind == "clips" and len(standing) > 2 and new and chance.random() < 0.2:
                gone, new = standing[-1:], [standing[-1], *new]
                del standing[-1:]
            standing += new
            steps.append(Step(heard_ms, chance.expovariate(1 / 120), tuple(new), tuple(gone)))
        steps.append(Step(source_ms, chance.uniform(1, 30)))
        units, delays = replay(steps, "made up")
        recording = Recording(
            index, f"{kind}_{index}.wav", f"{kind}:{index + 1}", source_ms, units, delays,
            references=tuple(references), steps=tuple(steps),
        )  # fmt: skip
        recordings.append(_spoken(recording, folder) if kind == "speech" else recording)
    return Log(folder, "streamst", tuple(recordings), 0)


def _spoken(recording: Recording, folder: Path) -> Recording:
    chunks = tuple(
        SpeechChunk(step.heard_ms, 330.0 * len(step.written), number, " ".join(step.written))
        for number, step in enumerate(recording.steps)
        if step.written
    )
    wav = folder / f"said_{recording.index}.wav"
    write_wav(wav, np.full(sum(round(16 * chunk.duration_ms) for chunk in chunks), 0.1, np.float32), 16_000)
    return replace(recording, speech=chunks, speech_path=wav, output="both")


def main() -> None:
    """Make or read the runs, score them everywhere, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, action="append", default=[], help="a run's directory; may be repeated")
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "streamst-scorers")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    figures: list[Figure] = []
    missing = 0
    with tempfile.TemporaryDirectory() as scratch:
        logs = {path.name: read_log(path) for path in chosen.run}
        if not logs:
            for kind in ("clips", "talks", "speech"):
                folder = Path(scratch, f"made-{kind}")
                folder.mkdir()
                logs[kind] = made_up(kind, folder)
        scores = {name: score(log, ScoreOptions(resamples=100)) for name, log in logs.items()}
        for tool, compare in SCORERS.items():
            try:
                tools = install(tool, chosen.venvs)
            except subprocess.CalledProcessError as error:
                print(f"{tool} could not be installed: {error}", file=sys.stderr)
                shutil.rmtree(chosen.venvs / tool, ignore_errors=True)
                missing += 1
                continue
            for name, log in logs.items():
                work = Path(scratch, f"{tool}-{name}")
                figures += compare(name, log, scores[name], work, tools)
    for one in figures:
        mark = "" if one.equal else "   DIFFERS"
        print(f"{one.run:24} {one.tool:17} {one.name:34} {one.theirs:14.5f} {one.ours:14.5f}{mark}")
    wrong = sum(not one.equal for one in figures)
    print(f"{len(figures)} figures, {wrong} differ; {missing} tools could not be installed")
    if chosen.json:
        rows = [{**one.__dict__, "equal": one.equal} for one in figures]
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(1 if wrong or missing else 0)


if __name__ == "__main__":
    main()
