"""Latency-quality curves of sweeps: `python tests/benchmarks/curves.py SWEEP [SWEEP ...] --out FILE.svg`.

Reads folders that `streamst bench sweep --out SWEEP` filled. Prints a table of all points (decodes and compute a second
of audio, share of the offline quality) and, for each goal of latency, the best share of it that any policy reaches
within that LAAL; draws one panel a sweep, with bands of the 95 % bootstrap intervals. Offline is the point of `wait-k`
with the largest k, which must be more than any recording has words.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

GOALS = ((1200, 85, 90), (2000, 92, 96), (3000, 96, 99))  # LAAL [ms], share of offline at least, and wanted [%]
QUALITY = "BLEU"


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    series: str
    label: str
    quality: float
    low: float
    high: float
    chrf: float
    laal_ms: float
    calls: float  # a second of audio
    rtf: float


def points_of(sweep: Path) -> tuple[list[Point], Point]:
    """The points in order of latency, and the offline one."""
    found = []
    for one in json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))["points"]:
        folder = sweep / one["folder"]
        if not (folder / "report.json").is_file():
            continue
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
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
            Point(one["series"], one["label"], value[QUALITY], band["low"], band["high"], value["chrF"], value["LAAL"],
                  calls / audio_s, compute_s / audio_s)
        )  # fmt: skip
    found.sort(key=lambda point: point.laal_ms)
    offline = max(
        (p for p in found if p.series == "wait-k"), key=lambda point: int(point.label.split("=")[1].split()[0])
    )
    return [point for point in found if point is not offline], offline


def table(points: list[Point], offline: Point) -> None:
    """Print the points and what the goals come to."""
    print(
        f"| policy | {QUALITY} | chrF | % of offline | LAAL ms | decodes a second | RTF |\n"
        "|---|---|---|---|---|---|---|"
    )
    for point in (*points, offline):
        name = "offline" if point is offline else f"`{point.series}` {point.label}"
        print(f"| {name} | {point.quality:.1f} ({point.low:.1f}–{point.high:.1f}) | {point.chrf:.1f} "
              f"| {100 * point.quality / offline.quality:.0f} | {point.laal_ms:.0f} | {point.calls:.2f} "
              f"| {point.rtf:.3f} |")  # fmt: skip
    for laal_ms, least, wanted in GOALS:
        within = [point for point in points if point.laal_ms <= laal_ms]
        if within:
            best = max(within, key=lambda point: point.quality)
            print(f"within {laal_ms} ms: {best.series} {best.label}, {100 * best.quality / offline.quality:.0f} % of "
                  f"offline (at least {least}, wanted {wanted})")  # fmt: skip


def draw(sweeps: dict[str, tuple[list[Point], Point]], out: Path) -> None:
    """One panel a sweep."""
    figure = Figure(figsize=(6.2 * len(sweeps), 4.6), layout="constrained")
    for number, (title, (points, offline)) in enumerate(sweeps.items(), 1):
        axes = figure.add_subplot(1, len(sweeps), number)
        series: dict[str, list[Point]] = defaultdict(list)
        for point in points:
            series[point.series].append(point)
        for index, (name, own) in enumerate(sorted(series.items())):
            colour, x = f"C{index % 10}", [point.laal_ms / 1000 for point in own]
            axes.plot(
                x, [point.quality for point in own], "o-", color=colour, label=name, markersize=3.5, linewidth=1.2
            )
            if len(own) > 1:
                axes.fill_between(x, [p.low for p in own], [p.high for p in own], color=colour, alpha=0.08, linewidth=0)
            else:
                axes.vlines(x, own[0].low, own[0].high, color=colour, alpha=0.3)
        axes.axhline(offline.quality, color="black", linewidth=0.8, linestyle="--", label="offline")
        axes.set_title(title)
        axes.set_xlabel("LAAL [s]")
        axes.set_ylabel(QUALITY)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    FigureCanvasSVG(figure).print_svg(str(out), metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--titles", nargs="+", help="of the panels; else the folders' names")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    titles = arguments.titles or [sweep.name for sweep in arguments.sweeps]
    sweeps = {title: points_of(sweep) for title, sweep in zip(titles, arguments.sweeps, strict=True)}
    for title, (points, offline) in sweeps.items():
        print(f"\n{title}\n")
        table(points, offline)
    if arguments.out:
        draw(sweeps, arguments.out)


if __name__ == "__main__":
    main()
