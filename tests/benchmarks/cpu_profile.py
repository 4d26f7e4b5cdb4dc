"""Where a speaker's processor time goes: a real server with N real websocket clients, looked at by py-spy.

    python tests/benchmarks/cpu_profile.py MANIFEST [--counts 1 8] [--seconds 30] [--out DIR] [--captions]

The clients are those of `streams.py`, in real time; nobody is refused or relieved. py-spy (pip install py-spy) looks at
every thread of the server a hundred times a second, first for a table by task and by function, then once more for a
flame graph, DIR/flame-N.svg. A sample belongs to the innermost function that is of a task; the samples of a thread
share out its processor time (/proc), so that who waits for a busy core costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from streams import crowd, family, server, talks

RATE_HZ = 100
# What a sample is of, the first that fits; a function of torch or of `streamst/nn` is its caller's.
TASKS = (
    ("ear: the likeliest of 51,864 pieces", r"models/whisper/readout\.py"),
    ("ear: encoder", r"models/whisper/(encoder|features)\.py"),
    ("ear: decoder", r"models/whisper/decoder\.py"),
    ("ear: the rest", r"models/(whisper|listen)/"),
    ("writer: network", r"models/write/(network|lexicon|taed)\.py"),
    ("writer: search and wishes", r"models/write/|streamst/text\.py"),
    ("voice: network", r"models/speak/network\.py"),
    ("voice: codec", r"codecs/neural\.py|nn/source_filter\.py"),
    ("voice: German, watermark", r"models/speak/|languages/german|watermark\.py"),
    ("codecs of the wire", r"codecs/"),
    ("session and policy", r"streamst/session/|policies/|models/(seam|segment|words)\.py"),
    ("engine", r"streamst/(engine|scheduler)\.py"),
    ("server", r"server/|streamst/(tls|heap)\.py"),
    ("websocket, event loop", r"websockets/|uvicorn/|starlette/|asyncio/|selectors\.py|json/"),
)
COMMAND = re.compile(r"process \d+:&quot;.*?&quot;|[^<>]*py-spy record[^<>]*")
THREAD = re.compile(r"thread \((\d+)\)")
BORROWED = re.compile(r"/torch/|streamst/nn/(?!source_filter)|/(dataclasses|functools|contextlib|threading)\.py")


@dataclass(frozen=True)
class Profile:
    """Processor seconds by task and by function, and how many samples were seen."""

    tasks: Counter[str]
    functions: Counter[str]
    samples: int


def task_of(frames: list[str]) -> tuple[str, str]:
    """The task of a stack (outermost first), and the function of it that says so."""
    for frame in reversed(frames):
        if not BORROWED.search(frame):
            for name, pattern in TASKS:
                if re.search(pattern, frame):
                    return name, frame
    return "other", frames[-1]


def read(raw: Path, spent: dict[str, float]) -> Profile:
    """py-spy's raw output: a stack a line, its thread first, frames divided by ";", and how often it was seen; spent:
    processor seconds of each thread."""
    seen: dict[str, list[tuple[list[str], int]]] = defaultdict(list)
    for line in raw.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        thread = THREAD.search(stack)
        if thread is not None:
            seen[thread[1]].append((stack[thread.end() :].split(";")[1:], int(count)))
    tasks, functions, samples = Counter[str](), Counter[str](), 0
    for thread, stacks in seen.items():
        total = sum(count for _, count in stacks)
        samples += total
        for frames, count in stacks:
            task, frame = task_of(frames)
            name, _, place = frame.partition(" ")
            place = "/".join(place.strip("()").rpartition(":")[0].split("/")[-2:])
            for counter, key in ((tasks, task), (functions, f"{name} ({place})")):
                counter[key] += spent.get(thread, 0.0) * count / total  # type: ignore[assignment]
    return Profile(tasks, functions, samples)


def threads_s(process: subprocess.Popen[str]) -> dict[str, float]:
    """Processor seconds so far of every thread of the server and its worker processes (Linux)."""
    found = [task for root in family(process) for task in root.glob("task/*")]
    return {task.name: int((task / "schedstat").read_text().split()[0]) / 1e9 for task in found}


def look(process: subprocess.Popen[str], seconds: float, out: Path, kind: str) -> subprocess.Popen[bytes]:
    """py-spy at work on the server and its worker processes."""
    command = ["py-spy", "record", "--pid", str(process.pid), "--subprocesses", "--rate", str(RATE_HZ)]
    command += ["--duration", str(int(seconds)), "--format", kind, "--output", str(out), "--nonblocking"]
    command += ["--full-filenames", "--threads"] if kind == "raw" else ["--function"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def profiled(
    process: subprocess.Popen[str], count: int, made: list[np.ndarray], url: str, options: Any, out: tuple[Path, Path]
) -> tuple[float, Profile]:
    """Let `count` speak while py-spy looks; processor seconds of a second of talk, and what they were for."""
    config = {"latency": options.latency, "output": ["captions"] if options.captions else ["captions", "audio"]}
    before = threads_s(process)
    speaking = asyncio.create_task(crowd(count, made, url, config))
    spent: dict[str, float] = {}
    for kind, path in zip(("raw", "flamegraph"), out, strict=True):
        looking = look(process, options.seconds / 2 - 1, path, kind)
        await asyncio.to_thread(looking.wait)
        if looking.returncode:
            raise SystemExit(f"py-spy ended with {looking.returncode}: it may need the right to trace (root)")
        if kind == "flamegraph":  # whose command it was is nobody's business
            path.write_text(COMMAND.sub("the server", path.read_text(encoding="utf-8")), encoding="utf-8")
        spent = spent or {thread: s - before.get(thread, 0.0) for thread, s in threads_s(process).items()}
    heard = await speaking
    refused = [speaker.refused for speaker in heard if speaker.refused]
    if refused:
        raise SystemExit(f"{len(refused)} of {count} were refused: {refused[0]}")
    whole_s = sum(s - before.get(thread, 0.0) for thread, s in threads_s(process).items())
    return whole_s / (count * options.seconds), read(out[0], spent)


def report(count: int, cost_s: float, profile: Profile, functions: int) -> None:
    """Two tables."""
    whole = sum(profile.tasks.values())
    print(f"{count} speakers: {1000 * cost_s:.1f} ms of processor time for a second of talk, {profile.samples} samples")
    for name, part in profile.tasks.most_common():
        print(f"   {1000 * cost_s * part / whole:6.2f} ms {100 * part / whole:5.1f} %  {name}")
    print("   of functions, with what they call:")
    for name, part in profile.functions.most_common(functions):
        print(f"   {1000 * cost_s * part / whole:6.2f} ms {100 * part / whole:5.1f} %  {name}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--latency", default="low")
    parser.add_argument("--recogniser")
    parser.add_argument("--captions", action="store_true", help="no speech")
    parser.add_argument("--functions", type=int, default=25, help="how many are told")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()), help="folder of flame-N.svg")
    options = parser.parse_args()
    options.device, options.workers, options.admit_all = "cpu", 1, True
    options.out.mkdir(parents=True, exist_ok=True)
    made = talks(options.manifest, options.seconds)
    process, url = server(options, max(options.counts))
    try:
        asyncio.run(crowd(1, [talk[: 16_000 * 3] for talk in made], url, {"latency": options.latency}))  # who is warm
        for count in options.counts:
            out = options.out / f"profile-{count}.raw", options.out / f"flame-{count}.svg"
            report(count, *asyncio.run(profiled(process, count, made, url, options, out)), options.functions)
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
