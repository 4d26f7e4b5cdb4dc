"""What the tests of the service share: a server that runs in a thread, and what was said in a form to compare."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from streamst.audio import Pcm
from streamst.events import Caption, Speech, Words
from streamst.pipeline import Pipeline
from streamst.server.app import prepare
from streamst.server.operator.options import ServerOptions

PATIENCE_S = 120.0
CALM: dict[str, Any] = {"refuse_when_busy": False, "relieve_when_busy": False}  # whatever else this machine does


@contextlib.contextmanager
def running(pipeline: Pipeline, **options: Any) -> Iterator[str]:
    """A server with these options; yields its address."""
    server, listener, address = prepare(pipeline, ServerOptions(port=0, **CALM, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive()


def pieces(pcm: Pcm, samples: int = 1600) -> list[Pcm]:
    return [pcm[at : at + samples] for at in range(0, len(pcm), samples)]


def words_of(events: list[Any]) -> list[tuple[float, int, tuple[str, ...]]]:
    return [(event.source_ms, event.segment, event.words) for event in events if isinstance(event, Words)]


def captions_of(events: list[Any]) -> list[tuple[str, int, int, str, str]]:
    return [(e.lang, e.segment, e.revision, e.stable, e.unstable) for e in events if isinstance(e, Caption)]


def heard_of(events: list[Any]) -> Pcm:
    return np.concatenate([np.zeros(0, np.float32), *[event.pcm for event in events if isinstance(event, Speech)]])
