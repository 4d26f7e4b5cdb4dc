"""Serve the applications of ray.yaml on this machine, or at RAY_ADDRESS, until it is stopped.

python deploy/ray.py [FILE]
"""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != HERE]  # `import ray` does not mean this file

import ray  # noqa: E402
import yaml  # noqa: E402
from ray import serve  # noqa: E402


def main(file: Path) -> None:
    """Serve what `file` lists."""
    written = yaml.safe_load(file.read_text("utf-8"))
    ray.init()
    serve.start(http_options=written["http_options"])
    for one in written["applications"]:
        module, _, name = one["import_path"].partition(":")
        built = getattr(importlib.import_module(module), name)(one["args"])
        serve.run(built, name=one["name"], route_prefix=one["route_prefix"])
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "ray.yaml")
