"""The learning curve is read off a run's log, and drawn."""

import json
from pathlib import Path

from streamst.train.curve import plot, read


def test_losses_and_validation_figures_are_told_apart_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    lines = [{"loss": 3.0, "norm": 1.0, "step": 20, "rate": 1e-3}, {"step": 40, "validation": {"WER": 80.0}},
             {"loss": 2.0, "step": 40, "rate": 1e-3}]  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"loss": 1')
    losses, figures = read(log)
    assert losses == {"loss": [(20.0, 3.0), (40.0, 2.0)]}
    assert figures == {"WER": [(40.0, 80.0)]}
    picture = plot(tmp_path).read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(picture[i : i + 4], "big") for i in (16, 20))
    assert width > 2 * height  # both sides are drawn
    log.write_text(json.dumps(lines[0]) + "\n")
    picture = plot(tmp_path).read_bytes()
    width, height = (int.from_bytes(picture[i : i + 4], "big") for i in (16, 20))
    assert width < 2 * height
