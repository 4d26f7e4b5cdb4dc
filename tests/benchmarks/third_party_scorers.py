"""Our exported logs, scored by the real SimulEval, OmniSTEval and simulstream, beside our own figures.

    python tests/benchmarks/third_party_scorers.py [--run DIR ...] [--seeds N] [--tool NAME ...] [--json FILE]

Each tool is installed by name in a virtual environment of its own. Runs are made up from seeds (`--seeds` of each kind,
10 unless given: short clips, talks in segments, speech, and policies that are hardly simultaneous: all at the end, a
word early and the rest at the end, guesses at the beginning, whole sentences, nothing but for one clip); empty outputs,
too long ones and waits of every kind are in them. `--run` adds the directories of real ones. Exits with 1 when a figure
differs by more than the tools' own rounding.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
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
SIGNS = {
    "Simultaneous Words Fraction (%)": "SWF", "Expected Simul. Words Fraction (%)": "EFSW",
    "Degeneracy Test Value": "DSPTV",
}  # fmt: skip
DRIVER = """
import contextlib, importlib, io, json, sys
module, name = sys.argv[1].split(":")
main, found = getattr(importlib.import_module(module), name), []
for words in json.load(sys.stdin):
    sys.argv = words
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main()
    found.append(printed.getvalue())
json.dump(found, sys.stdout)
"""
Runs = dict[str, tuple[Log, Score]]  # by name
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
        if math.isnan(self.theirs) or math.isnan(self.ours):
            return math.isnan(self.theirs) and math.isnan(self.ours)
        return abs(self.theirs - self.ours) <= self.slack + 1e-6 * max(abs(self.theirs), abs(self.ours))


def install(tool: str, folder: Path) -> Path:
    """The `bin` of the tool's own virtual environment."""
    home = folder / tool
    if not (home / "installed").exists():
        venv.create(home, with_pip=True, clear=home.exists())
        subprocess.run([home / "bin" / "pip", "install", "-q", *TOOLS[tool]], check=True)
        (home / "installed").touch()
    return home / "bin"


def calls(tools: Path, command: str, wanted: Sequence[Sequence[object]]) -> list[str]:
    """What `command` ("module:function", a tool's entry point) prints for each list of arguments, in one process: most
    of a tool's time is its start."""
    words = [[command, *map(str, one)] for one in wanted]
    done = subprocess.run(
        [tools / "python", "-c", DRIVER, command], input=json.dumps(words), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command} failed with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def by_simuleval(runs: Runs, work: Path, tools: Path) -> list[Figure]:
    """Latency and BLEU of utterances; offsets of speech. It has no notion of a talk in segments."""
    wanted: list[list[object]] = []
    read: list[tuple[str, Score, str]] = []  # run, our figures, which of the table's columns: aware, plain, speech
    for name, (log, ours) in runs.items():
        if any(recording.long_form for recording in log.recordings):
            continue
        out = work / name / "simuleval"
        export(log, "simuleval", out)
        tables: list[tuple[str, Path, Sequence[object]]] = []
        for names in (LATENCIES[i : i + 2] for i in range(0, len(LATENCIES), 2)):  # a wider table is printed with gaps
            # With --computation-aware the columns without _CA hold the same as those with it: an error of 1.1.4.
            tables.append(("aware", out, ["--latency-metrics", *names, "--computation-aware"]))
        tables += [("plain", out, ["--latency-metrics", *names]) for names in (LATENCIES[:4], LATENCIES[4:])]
        if (out / "speech").exists():
            kinds = ["--source-type", "speech", "--target-type", "speech"]
            offsets = ["--latency-metrics", "StartOffset", "EndOffset", "NumChunks"]
            tables.append(("speech", out / "speech", [*kinds, *offsets]))
        wanted += [["--score-only", "--output", folder, *options] for _, folder, options in tables]
        read += [(name, ours, kind) for kind, _, _ in tables]
    printed = calls(tools, "simuleval.cli:main", wanted)
    found = (one for place, table in zip(read, printed, strict=True) for one in simuleval_table(*place, table))
    return list(dict.fromkeys(found))  # BLEU stands in several tables


def simuleval_table(name: str, ours: Score, kind: str, printed: str) -> list[Figure]:
    """The figures of a table that SimulEval prints, beside ours."""
    head, line = printed.strip().splitlines()[-2:]
    found = []
    for key, value in zip(head.split(), map(float, line.split()[1:]), strict=True):
        if kind == "speech" and key == "BLEU":  # of the paths of the wavs
            continue
        if kind == "aware" and not key.endswith("_CA"):
            continue
        mine = f"{key}_speech" if kind == "speech" else key.replace("_CA", "_CA_simuleval")
        tool = "SimulEval speech" if kind == "speech" else "SimulEval"
        found.append(Figure(name, tool, mine, value, value_of(ours, mine), 5.1e-4))
    return found


def by_omnisteval(runs: Runs, work: Path, tools: Path) -> list[Figure]:
    """shortform, or longform with its own segmenter; talks also as `bench iwslt` writes them for the task."""
    wanted: list[list[object]] = []
    read: list[tuple[str, str, Score, Path, bool, str]] = []
    for name, (log, ours) in runs.items():
        out, talks = work / name / "omnisteval", any(recording.long_form for recording in log.recordings)
        export(log, "omnisteval", out)
        files = ["--hypothesis_file", out / "hypothesis.jsonl", "--ref_sentences_file", out / "references.txt"]
        place = ["--speech_segmentation", out / "segments.yaml"] if talks else []
        kind = "longform" if talks else "shortform"
        wanted.append([kind, *files, *place, "--word_level", "--output_folder", out / "scores"])
        read.append((name, "OmniSTEval", ours, out / "scores", talks, "queue"))
        if talks:  # computation counts there as simulstream counts it
            task = work / name / "task"
            write_submission(log, task)
            files = ["--hypothesis_file", task / "metrics.jsonl", "--hypothesis_format", "simulstream", "--word_level"]
            files += ["--simulstream_config_file", task / "cfg.yaml", "--speech_segmentation", task / "segments.yaml"]
            files += ["--ref_sentences_file", task / "references.txt", "--output_folder", task / "scores"]
            wanted.append(["longform", *files])
            read.append((name, "IWSLT 2026", ours, task / "scores", talks, "simulstream"))
    calls(tools, "omnisteval.cli:main", wanted)
    return [figure for one in read for figure in omnisteval_table(*one)]


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
        elif key in SIGNS and not talks:
            mine = SIGNS[key]
        elif key in ("BLEU", "chrF"):
            mine = f"{key}_soft" if talks else key
        else:
            continue
        found.append(Figure(name, tool, mine, float(value), value_of(ours, mine), 5.1e-5))
    return found


def value_of(ours: Score, name: str) -> float:
    """nan where it is not defined, as the tools print it."""
    return ours.metrics[name].value if name in ours.metrics else math.nan


def by_simulstream(runs: Runs, work: Path, tools: Path) -> list[Figure]:
    """StreamLAAL (LAAL of one segment a recording), RTF and normalised erasure."""
    lags, stats = [], []
    for name, (log, _) in runs.items():
        out = work / name / "simulstream"
        export(log, "simulstream", out)
        files = ["--eval-config", out / "cfg.yaml", "--log-file", out / "metrics.jsonl"]
        references = ["--reference", out / "references.txt", "--audio-definition", out / "segments.yaml"]
        lags.append([*files, *references, "--scorer", "stream_laal"])
        stats.append(files)
    found = []
    printed = calls(tools, "simulstream.metrics.score_latency:cli_main", lags)
    counted = calls(tools, "simulstream.metrics.stats:cli_main", stats)
    for (name, (log, ours)), lag, told in zip(runs.items(), printed, counted, strict=True):
        plain, aware = map(float, re.findall(r"=([-\d.e]+|nan)", lag.splitlines()[-1])[:2])
        values = json.loads(told.partition("Stats: ")[2])
        base = "StreamLAAL_simulstream" if any(r.long_form for r in log.recordings) else "LAAL"
        pairs = [
            (base, 1000 * plain),
            (f"{base}_CA_simulstream", 1000 * aware),
            ("NE", values["normalized_erasure"]["value"]),
            ("RTF", values["real_time_factor"]["value"]),
        ]
        found += [Figure(name, "simulstream", key, value, value_of(ours, key), 1e-6) for key, value in pairs]
    return found


SCORERS = {"simuleval": by_simuleval, "omnisteval": by_omnisteval, "simulstream": by_simulstream}


KINDS = ("clips", "talks", "speech", "degenerate")
POLICIES = ("end", "one-early", "beginning", "sentences", "nothing")


def made_up(kind: str, seed: int, folder: Path) -> Log:
    """A run from a seed. clips: one reference each; talks: six segments each, words as the reference with mistakes."""
    chance = random.Random(f"{kind}{seed}")
    policy = POLICIES[seed % len(POLICIES)] if kind == "degenerate" else ""
    count = {"talks": 3, "degenerate": 6}.get(kind, 10)
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
            if policy:
                share = _share(policy, heard_ms / source_ms, len(said), index)
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


def _share(policy: str, heard: float, words: int, index: int) -> float:
    """Of the words, that a policy has written when a share of the source was heard."""
    if heard >= 1.0 or policy == "beginning":
        return 0.0 if policy == "nothing" and index else 1.0
    if policy == "one-early":
        return 1.0 / max(1, words)
    return 0.5 if policy == "sentences" and heard > 0.6 else 0.0


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
    parser.add_argument("--seeds", type=int, default=10, help="made-up runs of each kind")
    parser.add_argument("--tool", action="append", choices=sorted(SCORERS), help="may be repeated; all unless given")
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "streamst-scorers")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    figures: list[Figure] = []
    missing = 0
    with tempfile.TemporaryDirectory() as scratch:
        logs = {path.name: read_log(path) for path in chosen.run}
        for kind, seed in itertools.product(KINDS, range(chosen.seeds)):
            folder = Path(scratch, f"made-{kind}-{seed}")
            folder.mkdir()
            logs[f"{kind}-{seed}"] = made_up(kind, seed, folder)
        runs = {name: (log, score(log, ScoreOptions(resamples=100))) for name, log in logs.items()}
        for tool in chosen.tool or SCORERS:
            try:
                tools = install(tool, chosen.venvs)
            except subprocess.CalledProcessError as error:
                print(f"{tool} could not be installed: {error}", file=sys.stderr)
                shutil.rmtree(chosen.venvs / tool, ignore_errors=True)
                missing += 1
                continue
            figures += SCORERS[tool](runs, Path(scratch, tool), tools)
    report(figures, len(chosen.run), len(logs) - len(chosen.run), missing)
    if chosen.json:
        rows = [{**one.__dict__, "equal": one.equal} for one in figures]
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(1 if missing or not all(one.equal for one in figures) else 0)


def report(figures: Sequence[Figure], real: int, made: int, missing: int) -> None:
    """Every figure that differs, and how many of each are equal."""
    for one in figures:
        if not one.equal:
            print(f"{one.run:24} {one.tool:17} {one.name:34} {one.theirs:14.5f} {one.ours:14.5f}   DIFFERS")
    print(f"{real} real and {made} made-up logs\n{'tool':17} {'figure':36} equal  logs  undefined")
    table: dict[tuple[str, str], list[Figure]] = {}
    for one in figures:
        table.setdefault((one.tool, one.name), []).append(one)
    for (tool, name), column in table.items():
        equal, undefined = sum(one.equal for one in column), sum(math.isnan(one.theirs) for one in column)
        print(f"{tool:17} {name:36} {equal:5} {len(column):5} {undefined:10}")
    wrong = sum(not one.equal for one in figures)
    print(f"{len(figures)} figures, {wrong} differ; {missing} tools could not be installed")


if __name__ == "__main__":
    main()
