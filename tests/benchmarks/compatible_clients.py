"""The official clients of other services against `streamst serve`, unchanged but for the URL.

    python tests/benchmarks/compatible_clients.py [FILE] [--venvs DIR] [--url http://127.0.0.1:8000]

Runs `openai` (realtime translation with a client secret; realtime transcription), `deepgram-sdk` (live, with
translation) and `simulstream_wavs_client`, each in a virtual environment of its own: DIR/openai, DIR/deepgram and
DIR/simulstream, made with pip where missing. Prints what each was told, and compares it with what the native protocol
says of the same audio. simulstream's client sends its last 100 ms twice, and so does the native one beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamst.audio import Pcm, WavWriter, from_pcm16, read_audio, resample, to_pcm16
from streamst.client import stream
from streamst.events import Caption, Speech, Words

FILE = Path(__file__).parents[1] / "data" / "station.flac"
PACKAGES = {
    "openai": ["openai[realtime]"],
    "deepgram": ["deepgram-sdk"],
    "simulstream": ["--no-deps", "simulstream", "numpy", "websockets"],  # its client needs no more than these
}
VERSIONS = {"openai": "openai", "deepgram": "deepgram-sdk", "simulstream": "simulstream"}

# Each is run as `python -c SCRIPT ADDRESS WAV` and prints {"source", "target", "other"} as its last line.
OPENAI_TRANSLATION = """
import base64, json, sys, wave
from openai import OpenAI
address, path = sys.argv[1:]
pcm = wave.open(path).readframes(1 << 30)
secret = OpenAI(api_key="any", base_url=address + "/v1").realtime.translations.client_secrets.create(
    session={"model": "streamst", "audio": {"output": {"language": "de"}, "input": {"transcription": {"model": "x"}}}})
client = OpenAI(api_key=secret.value, base_url=address + "/v1")
source, target, audio, kinds = [], [], 0, []
with client.realtime.translations.connect(model="streamst") as connection:
    connection.send({"type": "session.update", "session": {"audio": {"output": {"language": "de"}}}})
    for at in range(0, len(pcm), 9600):
        piece = base64.b64encode(pcm[at : at + 9600]).decode()
        connection.send({"type": "session.input_audio_buffer.append", "audio": piece})
    connection.send({"type": "session.close"})
    for event in connection:
        kinds.append(event.type)
        match event.type:
            case "session.input_transcript.delta":
                source.append(event.delta)
            case "session.output_transcript.delta":
                target.append(event.delta)
            case "session.output_audio.delta":
                audio += len(base64.b64decode(event.delta)) / 2 / event.sample_rate
            case "session.closed":
                break
print(json.dumps({"source": "".join(source), "target": "".join(target), "audio_s": round(audio, 3),
                  "types": sorted({type(kind).__name__ for kind in [secret]} | set(kinds))}))
"""
OPENAI_TRANSCRIPTION = """
import base64, json, sys, wave
from openai import OpenAI
address, path = sys.argv[1:]
pcm = wave.open(path).readframes(1 << 30)
deltas, whole, kinds = [], [], []
client = OpenAI(api_key="any", base_url=address + "/v1")
with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
    connection.session.update(session={"type": "transcription", "audio": {"input": {
        "format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None,
        "transcription": {"model": "streamst", "language": "en", "delay": "medium"}}}})
    for at in range(0, len(pcm), 9600):
        connection.input_audio_buffer.append(audio=base64.b64encode(pcm[at : at + 9600]).decode())
    connection.input_audio_buffer.commit()
    for event in connection:
        kinds.append(event.type)
        if event.type == "conversation.item.input_audio_transcription.delta":
            deltas.append(event.delta)
        elif event.type == "conversation.item.input_audio_transcription.completed":
            whole.append(event.transcript)
            break
assert "".join(deltas) == "".join(whole), (deltas, whole)
print(json.dumps({"source": "".join(deltas), "types": sorted(set(kinds))}))
"""
DEEPGRAM = """
import json, sys, threading, wave
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
address, path = sys.argv[1:]
file = wave.open(path)
pcm, rate = file.readframes(1 << 30), file.getframerate()
ws = address.replace("http", "ws", 1)
client = DeepgramClient(api_key="any", environment=DeepgramClientEnvironment(
    base=address, production=ws, agent=ws, agent_rest=address))
finals, translations, kinds, words, errors = [], [], [], 0, []
def on_message(message):
    global words
    kinds.append(type(message).__name__)
    if message.type == "Results" and message.is_final:
        finals.append(message.channel.alternatives[0].transcript)
        words += len(message.channel.alternatives[0].words)
        translations.append(message.translation["transcript"])
with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=rate, interim_results=True,
                              vad_events=True, utterance_end_ms=1000, extra="translate:de") as connection:
    connection.on(EventType.MESSAGE, on_message)
    connection.on(EventType.ERROR, lambda error: errors.append(repr(error)))
    listener = threading.Thread(target=connection.start_listening)
    listener.start()
    connection.send_keep_alive()
    for at in range(0, len(pcm), 6400):
        connection.send_media(pcm[at : at + 6400])
    connection.send_finalize()
    connection.send_close_stream()
    listener.join()
assert not errors, errors
print(json.dumps({"source": " ".join(filter(None, finals)), "target": " ".join(filter(None, translations)),
                  "words": words, "types": sorted(set(kinds))}))
"""
# The command's own main function; only its logger is told to show what came back.
SIMULSTREAM = """
import io, json, logging, sys, re
from simulstream.client import wav_reader_client as client
address, path = sys.argv[1:]
listing = path + ".txt"
open(listing, "w").write(path + "\\n")
shown = io.StringIO()
client.LOGGER.setLevel(logging.DEBUG)
client.LOGGER.addHandler(logging.StreamHandler(shown))
sys.argv = ["simulstream_wavs_client", "--uri", address.replace("http", "ws", 1) + "/simulstream",
            "--wav-list-file", listing, "--src-lang", "en", "--tgt-lang", "de"]
client.cli_main()
text = ""
for line in shown.getvalue().splitlines():
    if line.startswith("{") and "new" in (change := json.loads(line)):
        text = text[: len(text) - len(change["deleted"])] + change["new"]
print(json.dumps({"target": text, "types": [shown.getvalue().splitlines()[-1]]}))
"""


@contextlib.contextmanager
def serving(url: str | None, *more: str) -> Iterator[str]:
    """The address of a server: the one given, or one of our own, with `more` on its command line."""
    if url is not None:
        yield url
        return
    command = [sys.executable, "-c", "from streamst.cli import main; main()", "serve", "--port", "0", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(found.group() for line in process.stdout if (found := re.search(r"https?://[\d.]+:\d+", line)))
        finally:
            process.terminate()
            process.wait()


def environment(root: Path, name: str) -> Path:
    """The Python of a virtual environment with the client in it."""
    python = root / name / "bin" / "python"
    if not python.exists():
        venv.create(root / name, with_pip=True)
    probe = [python, "-c", f"import importlib.metadata as m; m.version('{VERSIONS[name]}')"]
    if subprocess.run(probe, capture_output=True).returncode:
        for package in _orders(PACKAGES[name]):
            subprocess.run([python, "-m", "pip", "install", "-q", *package], check=True)
    return python


def _orders(packages: list[str]) -> list[list[str]]:
    """What pip is asked for: all at once, or what comes without its dependencies first."""
    return [packages[:2], packages[2:]] if packages[0] == "--no-deps" else [packages]


async def native(address: str, pcm: Pcm) -> dict[str, object]:
    """What the native protocol says of the same audio."""
    source: dict[int, str] = {}
    target: list[str] = []
    speech_s = 0.0
    async for event in stream(address, [pcm[at : at + 1600] for at in range(0, len(pcm), 1600)]):
        if isinstance(event, Caption) and event.lang == "en":
            source[event.segment] = event.stable
        elif isinstance(event, Words):
            target += event.words
        elif isinstance(event, Speech):
            speech_s += len(event.pcm) / event.sample_rate_hz
    return {"source": " ".join(filter(None, source.values())), "target": " ".join(target), "audio_s": speech_s}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Official clients of other services against streamst serve.")
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    parser.add_argument("--venvs", type=Path, help="where the clients are, or will be; a temporary place by default")
    parser.add_argument("--url", help="a server that runs; one is started by default")
    options = parser.parse_args()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    failed = False
    with tempfile.TemporaryDirectory() as scratch, serving(options.url) as address:
        root = options.venvs or Path(scratch)
        pcm = from_pcm16(to_pcm16(read_audio(options.file)))
        runs = [
            ("openai", "realtime translation", OPENAI_TRANSLATION, 24_000, ("source", "target", "audio_s")),
            ("openai", "realtime transcription", OPENAI_TRANSCRIPTION, 24_000, ("source",)),
            ("deepgram", "live transcription, translated", DEEPGRAM, 16_000, ("source", "target")),
            ("simulstream", "simulstream_wavs_client", SIMULSTREAM, 16_000, ("target",)),
        ]
        for name, what, script, rate, compared in runs:
            python = environment(root, name)
            wav = Path(scratch) / f"{name}-{rate}.wav"
            with WavWriter(wav, rate) as file:
                file.write(resample(pcm, 16_000, rate) if rate != 16_000 else pcm)
            heard = read_audio(wav)
            if name == "simulstream":
                heard = np.concatenate([heard, heard[(len(heard) - 1) // 1600 * 1600 :]])
            began_s = time.perf_counter()
            done = subprocess.run([python, "-c", script, address, wav], capture_output=True, text=True)
            spent_s = time.perf_counter() - began_s
            version = subprocess.run(
                [python, "-c", f"import importlib.metadata as m; print(m.version('{VERSIONS[name]}'))"],
                capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
            print(f"{VERSIONS[name]} {version}: {what}")
            if done.returncode:
                failed = True
                print(f"  FAILED\n{done.stderr}")
                continue
            told = json.loads(done.stdout.splitlines()[-1])
            expected = asyncio.run(native(address, heard))
            for field, value in told.items():
                print(f"  {field}: {value}")
            for field in compared:
                same = told[field] == expected[field]
                if field == "audio_s":
                    same = abs(told[field] - float(str(expected[field]))) < 0.05
                failed = failed or not same
                print(f"  {field} as the native protocol's: {'yes' if same else f'NO, that is {expected[field]!r}'}")
            print(f"  {spent_s:.1f} s for {len(heard) / 16_000:.1f} s of audio, starting Python included")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
