"""A small cluster of Ray with replicas of the server, for as long as its standard input is open.

As a program: `raying.py PORT FOLDER`. It reads arguments of `ray_serve.application`, a JSON object a line, serves that,
and prints "ready".
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stores import free_port

QUIET = {
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DISABLE_MEMORY_MONITOR": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_raylet_start_wait_time_s": "300",  # on a busy machine
}


class Cluster:
    """An application that Ray serves."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process, self.url = process, url

    def deploy(self, **arguments: Any) -> None:
        """Have Ray serve it with these arguments from now on, until it does."""
        assert self._process.stdin is not None
        print(json.dumps(arguments), file=self._process.stdin, flush=True)
        self.ready()

    def ready(self) -> None:
        """Wait until Ray serves what it was told to."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "ready\n":
                return
        raise AssertionError(f"Ray did not start: exit code {self._process.wait()}")


@contextlib.contextmanager
def cluster(folder: Path, **arguments: Any) -> Iterator[Cluster]:
    """An application that Ray serves. folder: of Ray's own files; its path is short."""
    port = free_port()
    command = [sys.executable, __file__, str(port), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | QUIET
    ) as process:
        assert process.stdin is not None
        served = Cluster(process, f"ws://127.0.0.1:{port}")
        try:
            served.deploy(**arguments)
            yield served
        finally:
            process.stdin.close()
            process.wait()


@contextlib.contextmanager
def replicas(folder: Path, **arguments: Any) -> Iterator[str]:
    """The address of an application that Ray serves."""
    with cluster(folder, **arguments) as served:
        yield served.url


def main(port: str, folder: str) -> None:
    """Serve what is asked for, a line each, until nobody writes any more."""
    import ray
    from ray import serve

    from streamst.integrations.ray_serve import application

    ray.init(
        num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20, _temp_dir=folder
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    for line in sys.stdin:
        serve.run(application(json.loads(line)))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
