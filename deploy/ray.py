"""Serve the applications of ray.yaml on this machine, or at RAY_ADDRESS, until it is stopped.

python deploy/ray.py [FILE] [--port PORT] [NAME=VALUE ...]

NAME=VALUE is written over what the file says of every application, as YAML: a computer of two cores carries both with

    python deploy/ray.py replicas=1 max_replicas=2 cpus=0.5 store=valkey://127.0.0.1:6379/0
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != HERE]  # `import ray` does not mean this file

import yaml  # noqa: E402


def main(given: Sequence[str] | None = None) -> None:
    """Serve what the file lists."""
    import ray
    from ray import serve

    written = read(given)
    ray.init(include_dashboard=None if "RAY_ADDRESS" in os.environ else False)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # Ray has taken them by now
        signal.signal(number, lambda *_: stopped.set())
    serve.start(http_options=written["http_options"])
    for one in written["applications"]:
        module, _, name = one["import_path"].partition(":")
        built = getattr(importlib.import_module(module), name)(one["args"])
        serve.run(built, name=one["name"], route_prefix=one["route_prefix"])
        sys.stderr.write(f"{one['name']} is served at {one['route_prefix']}\n")
    stopped.wait()
    serve.shutdown()
    ray.shutdown()


def read(given: Sequence[str] | None = None) -> dict[str, Any]:
    """What to serve, by the arguments of the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("values", nargs="*", metavar="[FILE] NAME=VALUE", help="the file, and what is written over it")
    parser.add_argument("--port", type=int, help="instead of the file's")
    asked = parser.parse_args(given)
    files = [value for value in asked.values if "=" not in value]
    if len(files) > 1:
        parser.error(f"{files[1]!r} is neither NAME=VALUE nor the first file")
    written = yaml.safe_load(Path(files[0] if files else HERE / "ray.yaml").read_text("utf-8"))
    others = dict(value.split("=", 1) for value in asked.values if "=" in value)
    for one in written["applications"]:
        one["args"] |= {name: yaml.safe_load(value) for name, value in others.items()}
    if asked.port is not None:
        written["http_options"]["port"] = asked.port
    return written


if __name__ == "__main__":
    main()
