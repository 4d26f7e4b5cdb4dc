"""Reports of runs: a table for the terminal, `report.json` for programs, `report.html` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from streamst.errors import InputError
from streamst.evaluate.formats.detect import read_log
from streamst.evaluate.formats.jsonl import write_objects
from streamst.evaluate.log.elapsed import elapsed_of
from streamst.evaluate.log.runlog import SWEEP, read_config, write_json

from .compare import Comparison
from .judge import Judges, judged
from .page import Point, write_html
from .score import Score, ScoreOptions, score
from .text import TextReport

SWEEP_COLUMNS = (
    "BLEU", "chrF", "WER", "YAAL", "LAAL", "LAAL_CA_queue", "LongYAAL", "StreamLAAL_simulstream", "StartOffset",
    "NE", "RTF", "empty",
)  # fmt: skip
HEADLINES = (
    "BLEU", "chrF", "TER", "COMET", "WER", "WER_whisper", "CER", "ASR-BLEU", "ASR-BLEU_silences", "ASR-chrF",
    "ASR-WER", "ASR-CER", "AP", "AL", "LAAL", "DAL", "ATD", "YAAL", "StreamLAAL_fbk",
    "StreamLAAL_simulstream", "LongYAAL", "LongLAAL", "SWF", "LongSWF", "LAAL_CA_queue", "LAAL_CA_wallclock",
    "YAAL_CA_queue", "StreamLAAL_simulstream_CA_queue", "LongYAAL_CA_queue", "StartOffset", "EndOffset",
    "StartOffset_CA_queue", "EndOffset_CA_queue", "StartOffset_speech_CA_queue", "EndOffset_speech_CA_queue",
    "ATD_speech_CA_queue", "DiscontinuitySum_speech_CA_queue", "DiscontinuityMax_speech_CA_queue",
    "C100_speech_CA_queue", "EVS_p50", "EVS_p90", "EVS_p99", "AfterSpeech", "AfterSpeech_CA_queue", "NE", "BLEU_whole",
    "BLEU_kept", "LengthRatio", "RepeatedWords", "RepeatedPhrases", "TokensPerSecond", "RTF", "empty",
)  # fmt: skip


@dataclass(frozen=True)
class RunReport:
    """A run's directory, read and scored."""

    folder: Path
    config: Mapping[str, Any]
    score: Score

    @property
    def audio_root(self) -> Path | None:
        """The folder of the manifest, where it is still there."""
        manifest = Path(str(self.config.get("manifest_path", "")))
        return manifest.parent if manifest.is_file() else None


@dataclass(frozen=True)
class Member:
    """One run of several that are reported together."""

    name: str
    series: str  # runs of one series are joined in the plot
    label: str
    run: RunReport


def score_run(folder: Path, resamples: int = 1000, judges: Judges | None = None) -> RunReport:
    """Score what a run's directory holds. InputError where it holds no run."""
    config = read_config(folder)
    options = config["options"]
    log = read_log(folder, "streamst")
    found = score(log, ScoreOptions(options["source"], options["target"], resamples))
    if judges is not None:
        found = judged(found, judges, options["target"], folder / "transcripts")
    return RunReport(folder, config, found)


def write_report(run: RunReport, name: str | None = None) -> None:
    """`report.json`, `report.html` and `segments.jsonl` in the run's directory."""
    write_json(run.folder / "report.json", run.score.as_json())
    write_objects(run.folder / "segments.jsonl", segment_lines(run.score))
    point = Point(name or run.folder.name, "", "", run.score)
    write_html(run.folder / "report.html", title_of(run.config), [point], run.config, run.audio_root)


def segment_lines(scored: Score) -> list[dict[str, Any]]:
    """A line a row: what was written when, on both main clocks, beside the reference."""
    lines = []
    for row in scored.rows:
        recording = row.recording
        last = row.first_unit + len(row.utterance.delays_ms)
        live = elapsed_of(recording, "queue")[row.first_unit : last] if recording.steps else ()
        lines.append(
            {
                "path": recording.name,
                "segment": row.segment,
                "speaker": recording.speaker,
                "source_length": row.utterance.source_ms,
                "prediction": row.hypothesis,
                "reference": row.reference,
                "delays": list(recording.delays_ms[row.first_unit : last]),
                "elapsed_queue": list(live),
                "values": row.values,
            }
        )
    return lines


def title_of(config: Mapping[str, Any]) -> str:
    """What a run was, in a line."""
    options = config["options"]
    policy = options["policy"] or "the dial's policy"
    chunk = f", chunks of {options['chunk_ms']} ms" if options["chunk_ms"] else ""
    pair = f"{options['source']}-{options['target']}" if options["task"] == "st" else f"captions in {options['source']}"
    return f"{options['model']} ({pair}): {policy}, latency {options['latency']}{chunk}"


def metrics_table(scored: Score, everything: bool = False) -> Table:
    """The figures of one log; only the usual ones unless `everything`."""
    return figures_table(scored.summary(), scored, everything)


def figures_table(title: str, scored: Score | TextReport, everything: bool = False) -> Table:
    """Figures with their intervals and percentiles; only the usual ones unless `everything`."""
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    for name in ("value", "95 % interval", "p50", "p90"):
        table.add_column(name, justify="right", no_wrap=True)
    names = scored.metrics if everything else [name for name in HEADLINES if name in scored.metrics]
    for name in names:
        metric = scored.metrics[name]
        ends = scored.intervals.get(name)
        ranks = scored.percentiles.get(name, {})
        unit = f" {metric.unit}" if metric.unit in ("ms", "%", "words") else ""
        table.add_row(
            name,
            figure(metric.value) + unit,
            f"{figure(ends[0])} to {figure(ends[1])}" if ends else "",
            *(figure(ranks[rank]) if rank in ranks else "" for rank in ("p50", "p90")),
        )
    return table


def comparison_table(found: Comparison, a: str, b: str, everything: bool = False) -> Table:
    """Two runs side by side."""
    title = f"A = {a}\nB = {b}"
    told = "* p < 0.05, each metric by itself. A, B and their difference are over the rows that both have."
    table = Table(
        title=title, caption=told, title_justify="left", caption_justify="left", header_style="bold", box=None,
        pad_edge=False,
    )  # fmt: skip
    for name in ("metric", "A", "B", "A - B", "95 % interval", "p"):
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True, min_width=5)
    for one in found.metrics:
        if not everything and one.name not in HEADLINES:
            continue
        gap = one.difference
        table.add_row(
            one.name,
            figure(one.a),
            figure(one.b),
            figure(gap.value),
            f"{figure(gap.low)} to {figure(gap.high)}",
            f"{gap.p_value:.3f}{' *' if one.significant else '  '}",
        )
    return table


def verdict(found: Comparison) -> str:
    """The trade-off in a sentence; "" where it cannot be had."""
    deal = found.trade_off
    if deal is None:
        return ""
    said = {
        "A": "A is faster and better",
        "B": "B is faster and better",
        "faster-but-worse": "A is faster, B is better",
        "slower-but-better": "B is faster, A is better",
        "undecided": "undecided",
    }[deal.verdict]
    shares = (
        f"A faster and better {deal.faster_and_better:.0%}, faster and worse {deal.faster_and_worse:.0%}, "
        f"slower and better {deal.slower_and_better:.0%}, slower and worse {deal.slower_and_worse:.0%}"
    )
    return f"{found.trade_off_latency} against BLEU: {said} ({shares} of joint resamples)"


def figure(value: float) -> str:
    """A number with about four digits."""
    if abs(value) >= 1000 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def read_sweep(folder: Path, resamples: int = 1000) -> list[Member]:
    """Every point of a sweep, scored. InputError where there is no sweep."""
    path = folder / SWEEP
    try:
        points = [(p["name"], p["series"], p["label"], p["folder"]) for p in json.loads(path.read_bytes())["points"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a sweep's list of points: {error}") from error
    return [Member(name, series, label, score_run(folder / at, resamples)) for name, series, label, at in points]


def read_runs(folders: Sequence[Path], resamples: int = 1000, judges: Judges | None = None) -> list[Member]:
    """Several runs, scored: each a series of its own, by the name of its folder. InputError for two of one name, and
    for runs over other recordings than the first's."""
    members = [Member(one.name, one.name, one.name, score_run(one, resamples, judges)) for one in folders]
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two runs are called {name}; folders on one page need names of their own")
    first = {row.recording.name for row in members[0].run.score.rows}
    for member in members[1:]:
        other = first ^ {row.recording.name for row in member.run.score.rows}
        if other:
            raise InputError(f"{member.name} is over other recordings than {names[0]}: {', '.join(sorted(other)[:3])}")
    return members


def write_sweep_report(folder: Path, members: Sequence[Member], title: str) -> None:
    """`report.json` and `report.html` of several runs together."""
    write_json(
        folder / "report.json",
        {
            "points": [
                {
                    "name": member.name,
                    "series": member.series,
                    "label": member.label,
                    "options": member.run.config["options"],
                    "metrics": {key: metric.as_json() for key, metric in member.run.score.metrics.items()},
                    "intervals": member.run.score.as_json()["intervals"],
                    "verdict": member.run.score.verdict,
                    "failures": {one.name: one.as_json() for one in member.run.score.failures},
                }
                for member in members
            ]
        },
    )
    write_html(
        folder / "report.html",
        title,
        [Point(member.name, member.series, member.label, member.run.score) for member in members],
        {member.name: member.run.config for member in members},
        members[0].run.audio_root,
    )


def sweep_table(members: Sequence[Member]) -> Table:
    """A line a point of a sweep."""
    columns = [[m.run.score.metrics.get(key) for m in members] for key in SWEEP_COLUMNS]
    wanted = [
        key
        for key, column in zip(SWEEP_COLUMNS, columns, strict=True)
        if any(column) and (key not in ("NE", "empty") or any(metric and metric.value for metric in column))
    ]
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", no_wrap=True)
    for key in wanted:
        table.add_column(key.replace("_", "\n").replace("Offset", "\nOffset"), justify="right", min_width=5)
    for member in members:
        metrics = member.run.score.metrics
        table.add_row(member.name, *(figure(metrics[key].value) if key in metrics else "" for key in wanted))
    return table
