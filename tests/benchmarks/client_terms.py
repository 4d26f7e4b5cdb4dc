"""Whether terms that the official clients of OpenAI and Deepgram send are heard.

    python tests/benchmarks/client_terms.py MANIFEST TEXT... [--count 24] [--others 40] [--venvs DIR] [--url URL]

MANIFEST: a TSV with `path` and `text`. The terms are the rare words of its texts, as in `ear_terms.py`: five letters or
more, at most six times in the TEXTs; OTHERS as rare stand among them. Every recording is transcribed twice by each
client, without terms and with all of them (`transcription.keywords`, `keyterm`), each client in a virtual environment
of its own as in `compatible_clients.py`. Prints how many of the terms that were said are heard, how many words of the
list are heard where nobody said them, and WER.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from compatible_clients import VERSIONS, environment, serving
from ear_terms import RARE, words
from recognisers import clips

from streamst.audio import WavWriter, from_pcm16, read_audio, resample, to_pcm16
from streamst.evaluate.metrics.normalise import normaliser_for
from streamst.evaluate.metrics.quality import edit_counts

# Each is run as `python -c SCRIPT ADDRESS TASK.json`, the task being {"wavs", "terms"}, and prints a line for each
# recording: {"text", "told"}, the last line of each.
OPENAI = """
import base64, json, sys, wave
from openai import OpenAI
address, task = sys.argv[1], json.load(open(sys.argv[2]))
client = OpenAI(api_key="any", base_url=address + "/v1")
for path in task["wavs"]:
    pcm = wave.open(path).readframes(1 << 30)
    text, told = "", []
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        transcription = {"model": "streamst", "language": "en"}
        if task["terms"]:
            transcription["keywords"] = task["terms"]
        connection.session.update(session={"type": "transcription", "audio": {"input": {
            "format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None, "transcription": transcription}}})
        for at in range(0, len(pcm), 9600):
            connection.input_audio_buffer.append(audio=base64.b64encode(pcm[at : at + 9600]).decode())
        connection.input_audio_buffer.commit()
        for event in connection:
            if event.type == "error":
                told.append(event.error.message)
            if event.type == "conversation.item.input_audio_transcription.completed":
                text = event.transcript
                break
    print(json.dumps({"text": text, "told": told}), flush=True)
"""
DEEPGRAM = """
import json, sys, threading, wave
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
address, task = sys.argv[1], json.load(open(sys.argv[2]))
ws = address.replace("http", "ws", 1)
client = DeepgramClient(api_key="any", environment=DeepgramClientEnvironment(
    base=address, production=ws, agent=ws, agent_rest=address))
for path in task["wavs"]:
    file = wave.open(path)
    pcm, finals, told = file.readframes(1 << 30), [], []
    def on_message(message):
        if message.type == "Results" and message.is_final:
            finals.append(message.channel.alternatives[0].transcript)
        elif message.type == "Warning":
            told.append(getattr(message, "description", ""))
    asked = {"keyterm": task["terms"]} if task["terms"] else {}
    rate = file.getframerate()
    with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=rate, **asked) as connection:
        connection.on(EventType.MESSAGE, on_message)
        connection.on(EventType.ERROR, lambda error: told.append(repr(error)))
        listener = threading.Thread(target=connection.start_listening)
        listener.start()
        for at in range(0, len(pcm), 6400):
            connection.send_media(pcm[at : at + 6400])
        connection.send_close_stream()
        listener.join()
    print(json.dumps({"text": " ".join(filter(None, finals)), "told": told}), flush=True)
"""
CLIENTS = {"openai": (OPENAI, 24_000), "deepgram": (DEEPGRAM, 16_000)}


def heard(python: Path, script: str, address: str, task: dict[str, Any], scratch: Path) -> list[dict[str, Any]]:
    """What a client prints of each recording."""
    path = scratch / "task.json"
    path.write_text(json.dumps(task))
    done = subprocess.run([python, "-c", script, address, path], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def figures(answers: list[dict[str, Any]], texts: list[str], terms: list[str], given: list[str]) -> str:
    """What came of it, in words."""
    edits = length = due = found = invented = 0
    for answer, text in zip(answers, texts, strict=True):
        wrong, of = edit_counts("WER", answer["text"], text, normaliser_for("en"))
        edits, length = edits + wrong, length + of
        got, wanted = words(answer["text"]), words(text)
        due += sum(term in wanted for term in terms)
        found += sum(term in wanted and term in got for term in terms)
        invented += sum(got[word] > wanted[word] for word in given)
    told = Counter(one for answer in answers for one in answer["told"])
    events = "".join(f"\n    told {count} times: {one[:160]}" for one, count in told.items())
    return f"terms {found} of {due}, {invented} invented, WER {100 * edits / length:.1f} %{events}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--count", type=int, help="of the recordings; all")
    parser.add_argument("--others", type=int, default=40, help="words among the terms that nobody says")
    parser.add_argument("--venvs", type=Path, help="where the clients are, or will be; a temporary place by default")
    parser.add_argument("--url", help="a server that runs; one is started by default")
    options = parser.parse_args()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    counts = sum((words(path.read_text("utf-8")) for path in options.texts), Counter[str]())
    listed = list(clips(options.manifest, "", options.count, 1))
    texts = [text for _, text in listed]
    spoken = sum((words(text) for text in texts), Counter[str]())
    terms = sorted(word for word in spoken if len(word) >= 5 and counts[word] <= RARE)
    pool = sorted(w for w, n in counts.items() if len(w) >= 5 and n <= RARE and w not in terms and w[-1] != "s")
    given = [*terms, *random.Random(3).sample(pool, min(options.others, len(pool)))]
    print(f"{len(listed)} recordings, {len(terms)} rare terms among {len(given)}")
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        scratch = Path(place)
        calm = scratch / "calm.toml"
        calm.write_text("refuse_when_busy = false\nrelieve_when_busy = false\n")  # text is that of a quiet machine
        address = stack.enter_context(serving(options.url, "--config", str(calm)))
        for name, (script, rate) in CLIENTS.items():
            python = environment(options.venvs or scratch, name)
            wavs: list[str] = []
            for number, (path, _) in enumerate(listed):
                wavs.append(str(scratch / f"{rate}-{number}.wav"))
                with WavWriter(Path(wavs[-1]), rate) as file:
                    pcm = from_pcm16(to_pcm16(read_audio(path)))
                    file.write(resample(pcm, 16_000, rate) if rate != 16_000 else pcm)
            for asked in ([], given):
                answers = heard(python, script, address, {"wavs": wavs, "terms": asked}, scratch)
                print(f"{VERSIONS[name]}, {len(asked)} terms sent: {figures(answers, texts, terms, given)}", flush=True)


if __name__ == "__main__":
    main()
