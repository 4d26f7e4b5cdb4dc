"""`streamst bench` as a test calls it."""

from __future__ import annotations

from typer.testing import CliRunner

from streamst.cli.bench import bench_app
from streamst.errors import StreamstError


def bench(*words: object) -> str:
    """What `streamst bench WORDS` prints; its error is raised."""
    done = CliRunner().invoke(bench_app, [str(word) for word in words])
    if isinstance(done.exception, StreamstError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())
