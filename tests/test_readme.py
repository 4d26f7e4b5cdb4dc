"""What the README and the pages in docs/ show can be run as it stands, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from streamst.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {page: page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))}
BENCHMARKS = ROOT / "tests" / "benchmarks"
RUN = [
    block
    for text in (README, *PAGES.values())
    for block in re.findall(r"<!-- run -->\n```(\w+)\n(.*?)```", text, re.DOTALL)
]


def test_some_blocks_of_the_readme_are_marked_to_be_run() -> None:
    assert sorted({language for language, _ in RUN}) == ["python", "sh"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder where the README's paths lead to the same files and what it writes does no harm."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "streamst"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m streamst "$@"\n')
    command.chmod(0o755)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("language", "code"), RUN)
def test_a_marked_block_runs_as_it_stands(folder: Path, language: str, code: str) -> None:
    command = [sys.executable, "-c", code] if language == "python" else ["sh", "-e", "-c", code]
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()
    if language == "sh":
        for name in re.findall(r"(?:-o|--srt|--json) (\S+)", code):
            assert (folder / name).stat().st_size > 0, name


def test_every_command_that_the_readme_names_exists_with_its_options() -> None:
    commands = getattr(get_command(app), "commands")  # noqa: B009
    text = "\n".join((README, *PAGES.values()))
    named = re.findall(r"(?:^|`)streamst ([a-z]+)((?: [^`\n#|]*)?)", text, re.MULTILINE)
    assert {name for name, _ in named} >= {"serve", "mic", "translate", "stream", "say", "train", "models", "doctor"}
    for name, rest in named:
        assert name in commands, f"streamst {name}"
        command = commands[name]
        for sub in getattr(command, "commands", {}).values():
            if rest.split()[:1] == [sub.name]:
                command = sub
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = set(re.findall(r"(?<!\S)\[?(--[a-z-]+)", rest))
        assert used <= known, f"streamst {name}: {used - known}"


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z]+)", README))
    assert targets >= {"serve", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES, BENCHMARKS / "README.md"], ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:streamst|codecs|policies|server|web|tests|\.ci)/[\w./-]*|[A-Z]+(?:\.md)?)`", text):
        if name.isupper() and page.name != "README.md":
            continue  # a word in capitals, such as LAAL
        if name != "MANIFEST":
            assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def test_the_index_of_benchmarks_names_them_all() -> None:
    named = re.findall(r"^\| `(\w+\.py)` \|", (BENCHMARKS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == sorted(path.name for path in BENCHMARKS.glob("*.py"))


def test_the_front_page_is_short() -> None:
    assert len(README.encode()) <= 9000
