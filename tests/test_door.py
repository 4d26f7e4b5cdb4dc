"""The door: what `import streamst` offers, and that neither it nor `streamst --help` waits for PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import assert_type

import pytest

import streamst
from streamst import audio, errors, events, pipeline, session

ROOT = Path(__file__).parent.parent
OFFERED = ["Caption", "Finished", "Session", "Speech", "StreamstError", "Words", "load", "read_blocks"]
SLOW = ("torch", "lhotse", "sacrebleu", "sounddevice", "matplotlib", "av")


def imported_by(code: str, *arguments: str) -> set[str]:
    """The modules of a fresh interpreter after `code`."""
    told = f"import sys, atexit; atexit.register(lambda: print('\\n@', *sys.modules)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", told, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("\n@ ")[2].split())


def test_the_package_offers_these_eight_names_and_its_version() -> None:
    assert sorted(streamst.__all__) == OFFERED
    assert sorted(dir(streamst)) == sorted([*OFFERED, "__version__"])


def test_each_name_is_the_one_that_its_module_defines() -> None:
    assert streamst.load is pipeline.load
    assert streamst.Session is session.Session
    assert (streamst.Caption, streamst.Words) == (events.Caption, events.Words)
    assert (streamst.Speech, streamst.Finished) == (events.Speech, events.Finished)
    assert streamst.read_blocks is audio.read_blocks
    assert streamst.StreamstError is errors.StreamstError


def test_type_checkers_see_the_names() -> None:
    assert_type(streamst.Caption, type[events.Caption])
    assert_type(streamst.StreamstError, type[errors.StreamstError])
    assert_type(streamst.load(device="cpu"), pipeline.Pipeline)


def test_a_star_import_brings_all_of_them() -> None:
    code = "from streamst import *; assert all(name in globals() for name in " + repr(OFFERED) + ")"
    assert "torch" in imported_by(code)


def test_a_name_that_is_not_offered_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'translate'; it offers Caption, .*, read_blocks$"):
        getattr(streamst, "translate")  # noqa: B009


@pytest.mark.parametrize("name", ["Caption", "Words", "Speech", "Finished", "StreamstError", "read_blocks"])
def test_events_errors_and_files_need_no_torch(name: str) -> None:
    modules = imported_by(f"from streamst import {name}")
    assert "streamst" in modules
    assert not modules & set(SLOW)


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    modules = imported_by("import streamst; assert streamst.__version__; dir(streamst)")
    assert {name for name in modules if name.startswith("streamst")} == {"streamst"}
    assert not modules & {"numpy", *SLOW}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("translate", "--help"), ("bench", "--help")])
def test_the_command_line_helps_without_waiting_for_torch(arguments: tuple[str, ...]) -> None:
    modules = imported_by("from streamst.cli import main; main()", *arguments)
    assert "streamst.cli.translate" in modules
    assert not modules & set(SLOW)
