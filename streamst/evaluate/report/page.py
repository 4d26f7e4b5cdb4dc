"""One HTML file with all that a run tells: figures, curves, distributions, recordings in time. Needs no network.

The parts that can be explored are drawn by `assets/report/*.js` from JSON that stands in the page; the figures and
their signatures are plain HTML and need no script.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from streamst.audio import read_blocks
from streamst.errors import InputError
from streamst.evaluate.log.clock import step_times
from streamst.evaluate.log.elapsed import elapsed_of
from streamst.evaluate.log.recording import Recording
from streamst.evaluate.log.units import split_units
from streamst.evaluate.metrics.speech import Interval, playback

from .listen import tracks
from .regimes import RANKED_BY, REGIMES
from .rows import Row
from .score import Score

SCRIPTS = ("drawing", "curves", "histograms", "recordings", "timeline", "report")  # in this order
LATENCY_AXES = (
    "LongYAAL", "YAAL", "LAAL", "LAAL_CA_queue", "LAAL_CA_wallclock", "AL", "DAL", "ATD", "StartOffset", "EndOffset",
    "EndOffset_speech_CA_queue", "StreamLAAL_simulstream", "StreamLAAL_simulstream_CA_queue", "LongYAAL_CA_queue",
    "YAAL_CA_queue", "RTF",
)  # fmt: skip
QUALITY_AXES = ("BLEU", "chrF", "WER")
TILES = (
    "BLEU", "chrF", "WER", "YAAL", "LAAL", "LAAL_CA_queue", "LongYAAL", "StreamLAAL_simulstream", "StartOffset",
    "EndOffset_speech_CA_queue", "EVS_p90", "C100_speech_CA_queue", "RTF", "empty",
)  # fmt: skip
COLUMNS = (
    "LongYAAL", "YAAL", "LAAL", "LAAL_CA_queue", "StreamLAAL_simulstream", "StartOffset", "EndOffset", "chrF", "WER",
    "RTF",
)  # fmt: skip
HISTOGRAMS = (
    "LongYAAL", "YAAL", "LAAL", "LAAL_CA_queue", "StreamLAAL_simulstream", "StartOffset", "EndOffset_speech_CA_queue",
    "EVS", "AfterSpeech", "DiscontinuityMax_speech_CA_queue", "NE", "chrF", "WER", "RTF",
)  # fmt: skip
ENVELOPE_BARS_S = 12  # bars of the waveform a second
MOST_BARS = 2000
MOST_PLAYED = 30  # recordings of a page with audio in it: the worst
MOST_TIMELINES = 200  # of one run: the worst by each column come first


@dataclass(frozen=True)
class Point:
    """One run on a curve."""

    name: str  # of the run
    series: str  # points of one series are joined
    label: str  # what stands beside the point
    score: Score


def write_html(
    path: Path, title: str, points: Sequence[Point], config: Mapping[str, Any], audio_root: Path | None
) -> None:
    """Write the page of one run or several. `audio_root`: the manifest's folder, for waveforms; None draws none."""
    folder = files("streamst") / "assets" / "report"
    page = (folder / "page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(title),
        "CSS": (folder / "report.css").read_text(encoding="utf-8"),
        "BODY": _head(title, points),
        "TABLES": _tables(points, config),
        "DATA": _embed(page_data(points, audio_root)),
        "JS": "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
    }
    for key, text in parts.items():
        before, _, after = page.partition(f"%{key}%")
        page = before + text + after
    path.write_text(page, encoding="utf-8")


def page_data(points: Sequence[Point], audio_root: Path | None) -> dict[str, Any]:
    """What the scripts of the page draw from."""
    units = {name: metric.unit for point in points for name, metric in point.score.metrics.items()} | {"EVS": "ms"}
    known = {name for point in points for row in point.score.rows for name in row.values}
    return {
        "level": f"{points[0].score.level:.0%}",
        "axes": {"latency": LATENCY_AXES, "quality": QUALITY_AXES},
        "regimes": {"names": [*RANKED_BY, *(f"{name}_CA_queue" for name in RANKED_BY)], "bands": REGIMES},
        "columns": [name for name in COLUMNS if name in known],
        "histograms": [name for name in HISTOGRAMS if name in known],
        "units": units,
        "points": [
            {
                "name": point.name,
                "series": point.series,
                "label": point.label,
                "rows": len(point.score.rows),
                "metrics": {n: {"value": m.value, "unit": m.unit} for n, m in point.score.metrics.items()},
                "intervals": {n: list(ends) for n, ends in point.score.intervals.items()},
            }
            for point in points
        ],
        "distributions": {
            point.name: {
                name: [_short(row.values[name]) for row in point.score.rows if name in row.values]
                for name in HISTOGRAMS
            }
            for point in points
        },
        "percentiles": {point.name: point.score.percentiles for point in points},
        "recordings": [
            {"run": point.name, **timeline(row, audio_root, number < max(3, MOST_PLAYED // len(points)))}
            for point in points
            for number, row in enumerate(worst_first(point.score.rows)[: max(20, MOST_TIMELINES // len(points))])
        ],
    }


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """Rows so that each column's worst are near the front; every row once."""
    orders = [
        sorted(range(len(rows)), key=lambda i: rows[i].values.get(name, 0.0), reverse=name != "chrF")
        for name in COLUMNS
        if any(name in row.values for row in rows)
    ]
    empty = [i for i, row in enumerate(rows) if not row.hypothesis]
    ranked = dict.fromkeys([*empty, *(i for place in zip(*orders, strict=True) for i in place)])
    return [rows[i] for i in ranked]


def timeline(row: Row, audio_root: Path | None, played: bool = False) -> dict[str, Any]:
    """Everything of one row that the page draws, times in whole ms; with its audio where that is to be `played`."""
    recording = row.recording
    whole = row.segment is None
    live = elapsed_of(recording, "queue") if recording.steps else recording.elapsed_ms
    start, end = (0.0, recording.source_ms) if whole else _stretch(recording, row.segment or 0)
    written = [
        [round(delay - start), round(live[i] - start) if live else None, unit]
        for i, (unit, delay) in enumerate(zip(recording.units, recording.delays_ms, strict=True))
        if whole or row.first_unit <= i < row.first_unit + len(row.utterance.delays_ms)
    ]
    text = recording.source_text if whole else recording.references[row.segment or 0].text
    return {
        "name": recording.name if whole else f"{recording.name} · segment {(row.segment or 0) + 1}",
        "source_ms": round(end - start),
        "prediction": row.hypothesis,
        "reference": row.reference or "",
        "reference_units": row.utterance.reference_units or 0,
        "text": text or "",
        "transcript": (recording.transcript or "") if whole else "",
        "metrics": {name: _short(value) for name, value in row.values.items() if name in (*COLUMNS, *HISTOGRAMS)},
        "heard": _heard(recording, start, end),
        "written": written,
        "speech": _played(recording) if whole else [],
        "audio": tracks(recording, audio_root, _heard_live(recording), start, end) if played else {},
        "envelope": _envelope(recording, audio_root, start, end),
    }


def _stretch(recording: Recording, segment: int) -> tuple[float, float]:
    reference = recording.references[segment]
    return reference.offset_ms, reference.offset_ms + reference.duration_ms


def _heard(recording: Recording, start: float, end: float) -> list[list[Any]]:
    """[ms, word] of every source word at the moment it was first shown as it stands in the end."""
    final = split_units(recording.transcript or "")
    first = [0.0] * len(final)
    for ms, text in reversed(recording.captions):
        shown = split_units(text)
        for i in range(min(len(shown), len(final))):
            if shown[: i + 1] != final[: i + 1]:
                break
            first[i] = ms
    return [[round(ms - start), word] for ms, word in zip(first, final, strict=True) if start <= ms <= end + 5000]


def _played(recording: Recording) -> list[list[Any]]:
    """[start ms, end ms, text] of every chunk as a live listener hears it."""
    return [
        [round(i.start_ms), round(i.end_ms), chunk.text]
        for i, chunk in zip(_heard_live(recording), recording.speech, strict=True)
    ]


def _heard_live(recording: Recording) -> tuple[Interval, ...]:
    known = all(chunk.step is not None for chunk in recording.speech)
    times = step_times(recording.steps, "queue") if recording.steps and known else ()
    ready = [times[chunk.step or 0] if times else chunk.delay_ms for chunk in recording.speech]
    return playback(ready, [chunk.duration_ms for chunk in recording.speech])


def _envelope(recording: Recording, root: Path | None, start_ms: float, end_ms: float) -> list[int]:
    """Peak of each bar of the waveform, 0..100; empty where the audio is not at hand."""
    path = None if root is None else root / recording.name
    if path is None or not path.is_file():
        return []
    try:
        blocks = list(read_blocks(path))
    except InputError:
        return []
    pcm = np.abs(np.concatenate(blocks))[round(16 * start_ms) : round(16 * end_ms)]
    bars = min(MOST_BARS, max(1, round((end_ms - start_ms) / 1000 * ENVELOPE_BARS_S)))
    if len(pcm) < bars:
        return []
    peaks = np.array([part.max() for part in np.array_split(pcm, bars)])
    return [int(x) for x in np.rint(100 * peaks / max(float(peaks.max()), 1e-6))]


def _head(title: str, points: Sequence[Point]) -> str:
    score = points[0].score
    said = [f"<h1>{html.escape(title)}</h1>"]
    if len(points) == 1:
        said.append(f'<p class="soft">{html.escape(score.summary())}</p>')
        tiles = []
        for name in TILES:
            if name not in score.metrics:
                continue
            metric = score.metrics[name]
            ends = score.intervals.get(name)
            span = f"{_figure(ends[0])} to {_figure(ends[1])}" if ends else "&nbsp;"
            unit = f" {html.escape(metric.unit)}" if metric.unit in ("ms", "%") else ""
            tiles.append(
                f'<div class="tile"><span>{name}</span><b>{_figure(metric.value)}{unit}</b><span>{span}</span></div>'
            )
        said.append(f'<div class="tiles">{"".join(tiles)}</div>')
    else:
        said.append(f'<p class="soft">{len(points)} runs, {len(score.rows)} rows each.</p>')
    for point in points:
        told = [*point.score.convictions(), *point.score.notes]
        said.extend(f'<p class="warn">{html.escape(point.name)}: {html.escape(note)}</p>' for note in told)
    return "\n".join(said)


def _failures(points: Sequence[Point]) -> str:
    """What goes wrong how often: a line a mode, a column a run; what is said of a run stands out."""
    found = [{one.name: one for one in point.score.failures} for point in points]
    names = list(dict.fromkeys(name for column in found for name in column))
    if not names:
        return ""
    rows = []
    for name in names:
        rule = next(column[name].rule for column in found if name in column)
        cells = []
        for column in found:
            one = column.get(name)
            mark = "number warn" if one and one.convicted else "number"
            cells.append(f'<td class="{mark}">{f"{one.count} of {one.judged}" if one else "–"}</td>')
        rows.append(f"<tr><td>{name}</td>{''.join(cells)}<td class='soft'>{html.escape(rule)}</td></tr>")
    verdicts = "".join(f"<td class='number{_mark(point.score)}'>{point.score.verdict or '–'}</td>" for point in points)
    head = "".join(f'<th class="number">{html.escape(point.name)}</th>' for point in points)
    return (
        "<h2>What goes wrong</h2>\n<p class='soft'>Recordings (of talks, segments where it is about words) that show "
        "a failure; red where there are enough of them to say it of the run.</p>\n"
        f"<div class='scroll'><table><thead><tr><th>failure</th>{head}<th>shown by</th></tr></thead><tbody>\n"
        f"<tr><td>verdict</td>{verdicts}<td class='soft'>is it simultaneous at all?</td></tr>\n"
        f"{chr(10).join(rows)}\n</tbody></table></div>\n"
    )


def _mark(found: Score) -> str:
    return "" if found.verdict in ("simultaneous", None) else " warn"


def _tables(points: Sequence[Point], config: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(name for point in points for name in point.score.metrics))
    alone = len(points) == 1
    head = "".join(f'<th class="number">{html.escape(point.name)}</th>' for point in points)
    rows = []
    for name in names:
        found = [point.score.metrics.get(name) for point in points]
        known = next(metric for metric in found if metric)
        cells = "".join(f'<td class="number">{_figure(m.value) if m else "–"}</td>' for m in found)
        signature = html.escape(known.signature)
        label = html.escape(name) if alone else f'<abbr title="{signature}">{html.escape(name)}</abbr>'
        last = f'<td class="signature">{signature}</td>' if alone else ""
        rows.append(f"<tr><td>{label}</td>{cells}<td>{html.escape(known.unit)}</td>{last}</tr>")
    where = "A signature says" if alone else "The signature under a metric's name says"
    return (
        f"{_failures(points)}<h2>All figures</h2>\n"
        f"<p class='soft'>{where} how a number was computed; what does not apply is absent.</p>\n"
        f"<div class='scroll'><table><thead><tr><th>metric</th>{head}<th>unit</th>"
        f"{'<th>signature</th>' if alone else ''}</tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table></div>\n"
        "<h2>What was run</h2>\n<details><summary>configuration, versions, machine</summary>"
        f"<pre>{html.escape(json.dumps(config, ensure_ascii=False, indent=1))}</pre></details>"
    )


def _short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _embed(value: object) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
