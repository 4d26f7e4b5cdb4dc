"""What the container of `deploy/simulstream/` runs, without a container: simulstream's HTTP server, and its client.

    python tests/benchmarks/simulstream_container.py [FILE] [--packages DIR] [--set recogniser=own …]

Starts `http_speech_processor_server` with the container's own settings (on a free port of this machine), has
simulstream's proxy, made of `client.yaml`, send the recording chunk by chunk, twice as one speaker and once as another,
and compares the words with what a session alone says. simulstream is installed to DIR where it is not there,
without its dependencies: the server needs none that we do not have.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from streamst.audio import read_audio
from streamst.events import Words
from streamst.pipeline import load

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "deploy" / "simulstream"
CLIENT = """
import json, sys
from simulstream.config import yaml_config
from simulstream.server.speech_processors import SAMPLE_RATE, build_speech_processor
from streamst.audio import read_audio
config, path = sys.argv[1:]
pcm, texts = read_audio(path), []
for speaker in range(2):
    processor = build_speech_processor(yaml_config(config))
    for talk in range(2 - speaker):
        processor.set_source_language("en")
        processor.set_target_language("de")
        size = int(SAMPLE_RATE * processor.speech_chunk_size)
        outputs = [processor.process_chunk(pcm[at : at + size]) for at in range(0, len(pcm), size)]
        outputs.append(processor.end_of_stream())
        assert not any(output.deleted_tokens for output in outputs)
        texts.append(processor.tokens_to_string([token for output in outputs for token in output.new_tokens]))
        processor.clear()
print(json.dumps(texts))
"""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description="simulstream's HTTP processor with our model, as the container runs it."
    )
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "tests" / "data" / "station.flac")
    parser.add_argument("--packages", type=Path, help="where simulstream is, or will be; a temporary place by default")
    parser.add_argument("--set", nargs="*", default=[], help="NAME=VALUE for the processor's settings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        packages = options.packages or folder / "packages"
        if not (packages / "simulstream").exists():
            order = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--target",
                packages,
                "simulstream==1.0.0",
            ]
            subprocess.run(order, check=True)
        port = _free_port()
        changes: dict[str, Any] = dict(one.split("=", 1) for one in options.set)
        processor = _written("processor", folder, **changes)
        server = _written("server", folder, hostname="127.0.0.1", port=port)
        client = _written("client", folder, port=port)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{packages}", "NO_PROXY": "127.0.0.1"}
        module = "simulstream.server.speech_processors.remote.http_speech_processor_server"
        command = [sys.executable, "-m", module, "--server-config", server, "--speech-processor-config", processor]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as running:
            try:
                _wait(port, running)
                order = [sys.executable, "-c", CLIENT, client, options.file]
                done = subprocess.run(order, env=environment, capture_output=True, text=True, check=True)
            finally:
                running.terminate()
    told: list[str] = yaml.safe_load(done.stdout)
    wishes = yaml.safe_load((SETTINGS / "processor.yaml").read_text()) | changes
    names = {name: wishes[name] for name in ("recogniser", "writer") if name in wishes}
    session = load(device="cpu", precision="auto", **names).session(latency=wishes["latency"], speech=False)
    events = [*session.push(read_audio(options.file)), *session.finish()]
    expected = " ".join(word for event in events if isinstance(event, Words) for word in event.words)
    same = [text == expected for text in told]
    print(f"simulstream 1.0.0's HTTP processor: {told[0]}")
    print(f"  as a session says it: {sum(same)} of {len(same)} talks")
    raise SystemExit(not all(same))


def _written(name: str, folder: Path, **changes: Any) -> Path:
    """The container's settings of this name, changed so."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((SETTINGS / path.name).read_text()) | changes))
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(port: int, running: subprocess.Popen[bytes]) -> None:
    """Until the server listens."""
    while running.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.2)
    raise SystemExit(f"the server ended with {running.returncode}")


if __name__ == "__main__":
    main()
