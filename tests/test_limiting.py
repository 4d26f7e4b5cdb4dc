"""A test that hangs is a failure with a name, not a run that never ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import threading

def test_that_ends():
    pass

def test_that_hangs():
    threading.Event().wait()

def test_that_is_never_begun():
    raise AssertionError
"""
HOOKS = "from limiting import *  # noqa: F403\n"


def test_a_test_that_hangs_fails_by_name_and_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOOKS)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parent}\ntest_limit_s = 1\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode
    assert "1 failed, 1 passed" in done.stdout
    assert "test_it.py::test_that_hangs took longer than 1 s" in done.stdout
    assert "in test_that_hangs" in done.stderr
    assert "never_begun" not in done.stdout
