"""The page's pure modules: their own tests in JavaScript, run by the Node here or the one of Playwright."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
SUITES = sorted((ROOT / "tests" / "web").glob("*.test.mjs"))


@pytest.fixture(scope="module")
def node() -> str:
    assert playwright.__file__ is not None
    bundled = Path(playwright.__file__).parent / "driver" / ("node.exe" if os.name == "nt" else "node")
    return shutil.which("node") or str(bundled)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name.removesuffix(".test.mjs"))
def test_the_module_passes_its_own_tests(node: str, suite: Path) -> None:
    done = subprocess.run([node, "--test", str(suite)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert re.search(r"^(#|ℹ) tests [1-9]", done.stdout, re.MULTILINE)


def test_text_of_the_model_can_never_become_markup() -> None:
    for module in WEB.glob("*.js"):
        for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert sink not in module.read_text(encoding="utf-8"), f"{module.name} uses {sink}"


def test_the_page_names_no_other_server() -> None:
    for part in [*WEB.glob("*.js"), *WEB.glob("*.html"), *WEB.glob("*.css")]:
        named = re.findall(r"\b(?:https?|wss?)://[\w-]+\.[\w.-]+", part.read_text(encoding="utf-8"))
        assert not named, f"{part.name} names {named}"


@pytest.mark.parametrize("page", ["index.html", "listen.html", "overlay.html"])
def test_each_file_that_a_page_asks_for_is_there(page: str) -> None:
    html = (WEB / page).read_text(encoding="utf-8")
    asked = [piece.split('"')[0] for mark in ('src="', 'href="') for piece in html.split(mark)[1:]]
    files = {name.removeprefix("../") for name in asked if not name.startswith(("#", "./"))}
    files |= {"capture.worklet.js", "playback.worklet.js", "sample.flac"} if page == "index.html" else set()
    for module in {name for name in files if name.endswith(".js")}:
        files |= set(re.findall(r'from "\./([\w.-]+)"', (WEB / module).read_text(encoding="utf-8")))
    missing = [name for name in sorted(files) if not (WEB / name).is_file()]
    assert len(files) > 2
    assert not missing
