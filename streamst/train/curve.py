"""The learning curve of a run as a picture: losses and validation figures over steps, from its `log.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path

from streamst.errors import UnavailableError

Points = dict[str, list[tuple[float, float]]]
HIDDEN = frozenset({"step", "rate", "spent_s", "norm", "audio_s", "skipped"})  # figures that are no curves


def read(log: Path) -> tuple[Points, Points]:
    """(step, value) points of the logged losses and of the validation figures; a line cut short is left out."""
    losses: Points = {}
    figures: Points = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        validation = found.get("validation")
        kept = figures if validation is not None else losses
        for name, value in (found if validation is None else validation).items():
            if name not in HIDDEN and isinstance(value, int | float):
                kept.setdefault(name, []).append((float(found["step"]), float(value)))
    return losses, figures


def plot(directory: Path) -> Path:
    """Draw `curve.png` beside the `log.jsonl` of a run's `directory`; returns its path.

    Raises UnavailableError where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnavailableError("a learning curve needs matplotlib: python -m pip install matplotlib") from error
    sides = [side for side in zip(("losses", "validation"), read(directory / "log.jsonl"), strict=True) if side[1]]
    figure = Figure(figsize=(5.5 * max(1, len(sides)), 4), layout="constrained")
    for number, (title, curves) in enumerate(sides, 1):
        axes = figure.add_subplot(1, len(sides), number)
        for name, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1.2, marker="." if len(points) < 30 else "")
        axes.set_title(f"{directory.name}: {title}")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        if title == "losses" and all(value > 0 for points in curves.values() for _, value in points):
            axes.set_yscale("log")
    path = directory / "curve.png"
    FigureCanvasAgg(figure).print_png(str(path))
    return path
