"""A small cluster of Ray with replicas of the server, for as long as its standard input is open.

As a program: `raying.py PORT ARGUMENTS`; ARGUMENTS of `ray_serve.application` as JSON. It prints "ready".
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


@contextlib.contextmanager
def replicas(folder: Path, **arguments: Any) -> Iterator[str]:
    """The address of an application that Ray serves. folder: of its own files; its path is short."""
    port = free_port()
    command = [sys.executable, __file__, str(port), str(folder), json.dumps(arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | QUIET
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            for line in process.stdout:
                if line == "ready\n":
                    break
            else:
                raise AssertionError(f"Ray did not start: exit code {process.wait()}")
            yield f"ws://127.0.0.1:{port}"
        finally:
            process.stdin.close()
            process.wait()


def main(port: str, folder: str, arguments: str) -> None:
    """Serve until nobody writes any more."""
    import ray
    from ray import serve

    from streamst.integrations.ray_serve import application

    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20, _temp_dir=folder
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    serve.run(application(json.loads(arguments)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
