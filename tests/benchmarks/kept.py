"""What it costs to keep a session: bytes and what they are, processor time of each step, its share of the stream's.

python tests/benchmarks/kept.py [FILE] [--seconds 30] [--recogniser own] [--every 5]

One stream is heard as a server hears it, with and without being kept every so many seconds, in turns in one process;
all times are of the processor. `restore` is what another node spends. The store's own time is not in it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.models.seam import perform_all
from streamst.models.whisper.recogniser import WhisperRecogniser
from streamst.nn.packing import shortened
from streamst.pipeline import Pipeline, load
from streamst.server.operator.metrics import Metrics
from streamst.server.room.live import LiveStream
from streamst.server.store.sealed import Seal
from streamst.server.wire.seam import Audio, Settings
from streamst.session import Steps

ROOT = Path(__file__).parents[2]
PIECE = 1600


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", nargs="?", default=str(ROOT / "web" / "sample.flac"))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--recogniser", default=None)
    parser.add_argument("--every", type=float, default=5.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = load(recogniser=asked.recogniser)
    pcm = from_pcm16(to_pcm16(np.resize(read_audio(asked.file), round(16_000 * asked.seconds))))
    heard(pipeline, pcm[: 16_000 * 5], None)  # warms up
    without_s, _, _ = heard(pipeline, pcm, None)
    with_s, keeping_s, snapshots = heard(pipeline, pcm, asked.every)
    sizes_of_all, kept = sorted(map(len, snapshots)), snapshots[-1]
    fresh = LiveStream(pipeline, Metrics())
    began_s = time.process_time()
    done(fresh.restoring(kept), pipeline)
    restore_s = time.process_time() - began_s
    assert fresh._running is not None
    recogniser, again_s = pipeline.models.recogniser, 0.0
    if isinstance(recogniser, WhisperRecogniser):  # hears its utterance again with the next chunk
        began_s = time.process_time()
        recogniser.whole(fresh._running.session._at.ear)
        again_s = time.process_time() - began_s
    sizes = Counter[str]()
    count(fresh._running.session._at, "", sizes)
    print(
        json.dumps(
            {
                "recogniser": pipeline.parts.get("recogniser"),
                "bytes_last": len(kept), "bytes_mean": round(sum(sizes_of_all) / len(sizes_of_all)),
                "bytes_least": sizes_of_all[0], "bytes_most": sizes_of_all[-1],
                "of": {name: size for name, size in sizes.most_common(12)},
                "cpu_s_without": round(without_s, 3), "cpu_s_with": round(with_s, 3),
                "keeping_ms": round(1000 * keeping_s * asked.every / asked.seconds, 2),
                "keeping_share": round(keeping_s / without_s, 4),
                "restore_ms": round(1000 * restore_s, 1), "hear_again_ms": round(1000 * again_s, 1),
                "kbit_s_to_the_store": round(8 * sum(sizes_of_all) / len(sizes_of_all) / asked.every / 1000),
            },
            indent=1,
        )
    )  # fmt: skip


def live(pipeline: Pipeline) -> LiveStream:
    """A stream that is set."""
    stream = LiveStream(pipeline, Metrics())
    done(stream.configure(Settings()), pipeline)
    return stream


def heard(pipeline: Pipeline, pcm: Pcm, every_s: float | None) -> tuple[float, float, list[bytes]]:
    """Processor time of all, of being kept (packed, and sealed with a key), and what was kept."""
    stream, seal, kept = live(pipeline), Seal("a key of sixteen characters"), list[bytes]()
    began_s, keeping_s = time.process_time(), 0.0
    step = None if every_s is None else round(16_000 * every_s / PIECE)
    for number, at in enumerate(range(0, len(pcm), PIECE), 1):
        done(stream.hear(Audio("pcm16", number, at, to_pcm16(pcm[at : at + PIECE])), time.perf_counter()), pipeline)
        if step is not None and number % step == 0:
            from_s = time.process_time()
            kept.append(done(stream.keeping(), pipeline))
            seal.close("session", kept[-1])
            keeping_s += time.process_time() - from_s
    return time.process_time() - began_s, keeping_s, kept


def done(steps: Steps[Any], pipeline: Pipeline) -> Any:
    """What steps come to, each piece of work at once."""
    result: Any = None
    while True:
        try:
            work = steps.send(result)
        except StopIteration as stop:
            return stop.value
        (result,) = perform_all([work], pipeline.models)


def count(value: Any, path: str, sizes: Counter[str]) -> None:
    """Bytes of tensors and arrays, as they are written, by the first three names on the way to them."""
    if isinstance(value, torch.Tensor | np.ndarray):
        sizes[".".join(path.split(".")[1:4])] += shortened(torch.as_tensor(value))[0].nbytes
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            if one.metadata.get("packed", True):
                count(getattr(value, one.name), f"{path}.{one.name}", sizes)
    elif isinstance(value, tuple):
        for one in value:
            count(one, path, sizes)


if __name__ == "__main__":
    main()
