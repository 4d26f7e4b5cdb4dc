"""Latency-quality curves of sweeps: `python tests/benchmarks/curves.py SWEEP [SWEEP ...] --out FILE.png`.

Reads folders that `streamst bench sweep --out SWEEP` filled; `A+B` are two over the same recordings as one. Prints a
table of all points (decodes and seconds of computing a second of audio, share of the offline quality), for each goal of
latency the best share that a policy reaches within that LAAL, and what each point has over wait-k at the same LAAL
(between the two nearest of its points that are better than all earlier ones, linearly), with intervals of the paired
bootstrap over recordings, p two-sided; draws a panel a sweep, with bands of the 95 % bootstrap intervals.
Offline is the best point of `wait-k` with the largest k, which must be more than any recording has words. Captions that
are taken back (`retranslate`) are in table and picture only.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from streamst.evaluate.metrics.confidence import RESAMPLES, SEED, BleuCounts
from streamst.policies.catalog import POLICIES

GOALS = ((1200, 85, 90), (2000, 92, 96), (3000, 96, 99))  # LAAL [ms], share of offline at least, and wanted [%]
QUALITY = "BLEU"
COLUMNS = 4  # of panels


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    series: str
    label: str
    policy: str | None
    chunk_ms: int | None
    quality: float
    low: float
    high: float
    chrf: float
    laal_ms: float
    yaal_ms: float  # LongYAAL; of clips that is YAAL
    calls: float  # a second of audio
    rtf: float
    hypotheses: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def name(self) -> str:
        """For tables."""
        return f"`{self.series}` {'' if self.label == self.series else self.label}".strip()

    @property
    def counts(self) -> BleuCounts:
        """For resampling."""
        return BleuCounts(self.hypotheses, self.references)


def points_of(sweeps: Sequence[Path]) -> tuple[list[Point], Point]:
    """The points in order of latency, and the offline one."""
    found = [point for sweep in sweeps for point in _points_of(sweep)]
    found.sort(key=lambda point: point.laal_ms)
    offline = max((p for p in found if p.series == "wait-k"), key=lambda p: (_k(p), p.quality))
    return [p for p in found if not (p.series == "wait-k" and _k(p) == _k(offline))], offline


def _k(point: Point) -> int:
    return int(point.label.split("k=")[1].split()[0].split(",")[0])


def _points_of(sweep: Path) -> list[Point]:
    found = []
    for one in json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))["points"]:
        folder = sweep / one["folder"]
        if not (folder / "report.json").is_file():
            continue
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        options = json.loads((folder / "run.json").read_text(encoding="utf-8"))["options"]
        rows = [json.loads(line) for line in (folder / "segments.jsonl").read_text(encoding="utf-8").splitlines()]
        rows.sort(key=lambda row: row["path"])
        calls, compute_s, audio_s = 0, 0.0, 0.0
        for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
            for event in json.loads(line).get("events", ()):
                if event["event"] == "finished":
                    calls += event["decoder_calls"]
                    compute_s += event["compute_s"]
                    audio_s += event["source_ms"] / 1000
        value = {name: metric["value"] for name, metric in report["metrics"].items()}
        band = report["intervals"][QUALITY]
        found.append(
            Point(one["series"], one["label"], options["policy"], options["chunk_ms"], value[QUALITY], band["low"],
                  band["high"], value["chrF"], value["LAAL"],
                  value.get("LongYAAL", value.get("YAAL", math.nan)), calls / audio_s, compute_s / audio_s,
                  tuple(row["prediction"] for row in rows), tuple(row["reference"] for row in rows))
        )  # fmt: skip
    return found


def speaks(point: Point) -> bool:
    """Whether what it says is never taken back."""
    return point.series not in POLICIES or not POLICIES[point.series]().captions_only


def resampled(points: Sequence[Point], of: Callable[..., float]) -> tuple[float, float, float]:
    """The 95 % interval of `of(BLEU of each point)` over the same resampled recordings, and p of its being 0."""
    counts, random = [point.counts for point in points], np.random.default_rng(SEED)
    size, values = len(points[0].references), np.zeros(RESAMPLES)
    for number in range(RESAMPLES):
        times = np.bincount(random.integers(0, size, size), minlength=size)
        values[number] = of(*(one.score(times) for one in counts))
    low, high = np.percentile(values, [2.5, 97.5])
    beyond = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return float(low), float(high), min(1.0, 2 * (1 + int(beyond)) / (1 + RESAMPLES))


def share(point: Point, offline: Point) -> str:
    """Of the offline quality, with its interval."""
    low, high, _ = resampled([point, offline], lambda a, b: 100 * a / max(b, 1e-9))
    return f"{100 * point.quality / offline.quality:.0f} % ({low:.0f}–{high:.0f}) of offline"


def over_wait_k(point: Point, points: Sequence[Point]) -> str:
    """What a point has over wait-k at its LAAL; nothing outside wait-k's range."""
    best: list[Point] = []
    for one in points:
        if one.series == "wait-k" and (not best or one.quality > best[-1].quality):
            best.append(one)
    for a, b in pairwise(best):
        if point.series != "wait-k" and speaks(point) and a.laal_ms <= point.laal_ms < b.laal_ms:
            weight = (point.laal_ms - a.laal_ms) / (b.laal_ms - a.laal_ms)

            def gain(own: float, early: float, late: float, weight: float = weight) -> float:
                return own - (1 - weight) * early - weight * late

            low, high, p_value = resampled([point, a, b], gain)
            value = gain(point.quality, a.quality, b.quality)
            return f"{value:+.1f} ({low:+.1f} to {high:+.1f}), p {p_value:.3f}"
    return ""


def table(points: list[Point], offline: Point) -> None:
    """Print the points and what the goals come to."""
    print(f"| policy | LongYAAL ms | LAAL ms | {QUALITY} | chrF | % of offline | over wait-k | decodes/s | RTF |")
    print("|---|---|---|---|---|---|---|---|---|")
    for point in (*points, offline):
        name = "offline" if point is offline else point.name
        print(f"| {name} | {point.yaal_ms:.0f} | {point.laal_ms:.0f} "
              f"| {point.quality:.1f} ({point.low:.1f}–{point.high:.1f}) | {point.chrf:.1f} "
              f"| {100 * point.quality / offline.quality:.0f} | {over_wait_k(point, points)} "
              f"| {point.calls:.2f} | {point.rtf:.3f} |")  # fmt: skip
    print()
    usable = [point for point in points if speaks(point)]
    for laal_ms, least, wanted in GOALS:
        within = [point for point in usable if point.laal_ms <= laal_ms]
        if within:
            best = max(within, key=lambda point: point.quality)
            print(f"within {laal_ms} ms: {best.name} at {best.laal_ms:.0f} ms, {share(best, offline)} "
                  f"(at least {least}, wanted {wanted})")  # fmt: skip
    for point in usable:
        if point.series == "latency dial":
            print(
                f"{point.name}: LongYAAL {point.yaal_ms:.0f} ms, LAAL {point.laal_ms:.0f} ms, {share(point, offline)}"
            )


def line_of(point: Point) -> str:
    """Points of one name are joined in the picture."""
    return f"{point.series}, by the clock" if "boundaries=fixed" in point.label else point.series


def draw(sweeps: dict[str, tuple[list[Point], Point]], out: Path) -> None:
    """A panel for each line of each sweep: its points with their band, before the other lines in grey and wait-k."""
    panels: list[tuple[str, str, dict[str, list[Point]], Point]] = []
    for title, (points, offline) in sweeps.items():
        lines: dict[str, list[Point]] = defaultdict(list)
        for point in points:
            lines[line_of(point)].append(point)
        panels += [(title, name, lines, offline) for name in sorted(lines)]
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(3.0 * COLUMNS, 2.4 * rows), layout="constrained")
    for number, (title, name, lines, offline) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        for other, points in lines.items():
            style = {"color": "black", "linewidth": 1.0} if other == "wait-k" else {"color": "0.8", "linewidth": 0.8}
            axes.plot([p.laal_ms / 1000 for p in points], [p.quality for p in points], **style)
        own = lines[name]
        x = [p.laal_ms / 1000 for p in own]
        axes.fill_between(x, [p.low for p in own], [p.high for p in own], color="C0", alpha=0.2, linewidth=0)
        axes.plot(x, [p.quality for p in own], "o-", color="C0", markersize=3.5, linewidth=1.6)
        axes.axhline(offline.quality, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(f"{title}: {name}" if len(sweeps) > 1 else name, fontsize="small")
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize="x-small")
        if number > len(panels) - COLUMNS:
            axes.set_xlabel("LAAL [s]", fontsize="small")
        if number % COLUMNS == 1:
            axes.set_ylabel(QUALITY, fontsize="small")
    figure.suptitle(
        "blue: the policy and its 95 % band; black: wait-k; dotted: offline; grey: the others", fontsize="small"
    )
    FigureCanvasAgg(figure)
    figure.savefig(out, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", help="folders")
    parser.add_argument("--titles", nargs="+", help="of the panels; else the folders' names")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    titles = arguments.titles or [Path(sweep.partition("+")[0]).name for sweep in arguments.sweeps]
    sweeps = {
        title: points_of([Path(part) for part in sweep.split("+")])
        for title, sweep in zip(titles, arguments.sweeps, strict=True)
    }
    for title, (points, offline) in sweeps.items():
        print(f"\n{title}\n")
        table(points, offline)
    if arguments.out:
        draw(sweeps, arguments.out)


if __name__ == "__main__":
    main()
