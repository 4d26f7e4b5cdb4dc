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
    done = subprocess.run([node, "--test", str(suite)], cwd=ROOT, capture_output=True, text=True, timeout=500)
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


STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def said_in(module: str) -> list[str]:
    """The English words that a module hands to `say`: strings of its first argument, joined ones as one."""
    found: list[str] = []
    for call in re.finditer(r"\b(?:say|word)\(", module):
        at, depth, first, words = call.end(), 1, True, ""
        while depth:
            text = STRING.match(module, at)
            if text:
                words, at = words + text.group() * first, text.end()
                continue
            depth += (module[at] in "([{") - (module[at] in ")]}")
            first = first and not (depth == 1 and module[at] == ",")
            words += module[at] * first
            at += 1
        found += STRING.findall(re.sub(r'"\s*\+\s*"', "", words))
    return found


def test_all_of_the_pages_own_words_are_there_in_german() -> None:
    german = (WEB / "german.js").read_text(encoding="utf-8")
    known = set(re.findall(r'^  "((?:[^"\\]|\\.)*)":', german, re.MULTILINE))
    modules = {path.name: path.read_text(encoding="utf-8") for path in WEB.glob("*.js") if path.name != "german.js"}
    said = {words for module in modules.values() for words in said_in(module)} - {"", "ending", "microphone"}
    html = re.sub(r"<(script|style|svg).*?</\1>", "", (WEB / "index.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    shown = {words.strip() for words in re.findall(r">([^<>]+)<", html)}
    shown |= set(re.findall(r'(?:title|aria-label|placeholder|alt)="([^"]+)"', html))
    named = {"StreamST", "LAAL", "LongYAAL", "English", "Deutsch", "metformin = Metformin"}  # the same in both
    shown = {words for words in shown - named if re.search(r"\w\w", words)}
    tables = {words for name in ("troubles.js", "notices.js", "talk.js") for words in STRING.findall(modules[name])}
    told = {words for words in tables if re.search(r"^[A-Z].* .*[.:]$", words)}
    assert len(said) > 60
    assert len(shown) > 60
    assert sorted((said | shown | told) - known) == []
