"""A checkout at work in a process of its own, beside another one, so that two builds are compared in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Worker:
    """Runs a script with `--work`, by the package of a checkout, on one thread.

    The script says a line when it is ready, and answers each number that it reads with a line of JSON.
    """

    def __init__(self, checkout: Path, script: str, *given: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, script, *given, "--work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._line()

    def hear(self, streams: int) -> list[Any]:
        """What it answers for so many streams."""
        assert self._process.stdin is not None
        print(streams, file=self._process.stdin, flush=True)
        return json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a checkout did not answer")
        return line
