"""The recogniser that docs/backends.md shows: short, chosen by name, and measured like any other."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benching import bench

from streamst import Caption, Session, load
from streamst.audio import read_audio
from streamst.backends import recognisers
from streamst.backends.recognisers import RECOGNISERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8").partition("## A recogniser of your own")[2]
TICKER, NAMED = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def _ticker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the page had been followed: a file beside the other backends, a function and a line in `recognisers.py`."""
    module = ModuleType("streamst.backends.ticker")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(TICKER, "ticker.py", "exec"), vars(module))
    (line,) = re.findall(r"`(\"ticker\": .*?)`", PAGE)
    names: dict[str, Any] = dict(vars(recognisers))
    exec(compile(f"from __future__ import annotations\n{NAMED}\nFOUND = {{{line}}}", "recognisers.py", "exec"), names)
    monkeypatch.setitem(RECOGNISERS, "ticker", names["FOUND"]["ticker"])


def test_the_recogniser_is_under_forty_lines() -> None:
    assert len(TICKER.splitlines()) < 40


def test_a_session_of_it_says_ticks_and_goes_on_after_a_snapshot(tiny_model: Path) -> None:
    pipeline = load(str(tiny_model), recogniser="ticker")
    pcm = read_audio(ROOT / "tests" / "data" / "station.flac")
    session = pipeline.session(speech=False)
    events = session.push(pcm[:20_000])
    session = Session.restore(session.snapshot(), pipeline.models)
    events += [*session.push(pcm[20_000:]), *session.finish()]
    heard = [event.stable for event in events if isinstance(event, Caption) and event.lang == "en" and event.final]
    assert {word for line in heard for word in line.split()} == {"tick"}


def test_bench_measures_it_by_the_manifest_of_the_page(tiny_model: Path, tmp_path: Path) -> None:
    (row,) = re.findall(r"printf '(.*?)'", PAGE)
    (tmp_path / "one.tsv").write_text(row.replace("\\t", "\t").replace("\\n", "\n"), encoding="utf-8")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    out = tmp_path / "run"
    chosen = ("--recogniser", "ticker", "--model", tiny_model)
    bench("run", tmp_path / "one.tsv", *chosen, "--out", out, "--resamples", 100)
    metrics = json.loads((out / "report.json").read_text(encoding="utf-8"))["metrics"]
    assert {"WER", "LAAL", "RTF"} <= metrics.keys()
