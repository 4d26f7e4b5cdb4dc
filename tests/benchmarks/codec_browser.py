"""The neural codec in Chromium: `python tests/benchmarks/codec_browser.py MANIFEST.tsv [--limit 10] [--no-wer]`.

Recordings go through the page's worker at 3 kbit/s and back, in pieces of 200 ms. Prints how far the samples are from
those that PyTorch makes of the same packets, the CPU time of all of Chromium's processes as a share of the audio's
length, encoding and decoding apart, and the WER of the default recogniser on the recordings and on what came back.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from playwright.sync_api import Page, sync_playwright
from starlette.applications import Starlette
from starlette.middleware import Middleware

from streamst.audio import Pcm, read_audio
from streamst.cli.codec import recogniser
from streamst.codecs.catalog import ASSETS
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.evaluate.log.manifest import read_manifest
from streamst.evaluate.metrics.normalise import normaliser_for
from streamst.evaluate.metrics.quality import error_rate
from streamst.server.listening import bind
from streamst.server.operator.headers import SecurityHeaders
from streamst.server.operator.options import ServerOptions
from streamst.server.pages import page_routes

RATE, PIECE = 16_000, 3200
OPEN = """async () => {
  const { Neural } = await import("/neural.js");
  globalThis.neural = new Neural(new URL("codec/", location.href).href);
  await neural.load();
}"""
ENCODE = """async (text) => {
  const pcm = new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  globalThis.packets = [];
  neural.renewEncoder();
  for (let at = 0; at < pcm.length; at += 3200) packets.push(await neural.encode(pcm.slice(at, at + 3200)));
  return packets.map((packet) => btoa(String.fromCharCode(...packet)));
}"""
DECODE = """async () => {
  const parts = [];
  for (const packet of packets) {
    const { samples } = await neural.decode(packet);
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    parts.push(btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
  }
  return parts;
}"""


def cpu_s() -> float:
    """CPU time of this process's children and theirs, as far as they live."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(name)], ticks[int(name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(ticks[pid] for pid in ours - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


def through(page: Page, pcm: Pcm) -> tuple[list[bytes], Pcm, float, float]:
    """Packets and samples of a recording, and the CPU time of both ways [s]."""
    begun = cpu_s()
    packets: Any = page.evaluate(ENCODE, base64.b64encode(pcm.astype("<f4").tobytes()).decode())
    between = cpu_s()
    parts: Any = page.evaluate(DECODE)
    ended = cpu_s()
    heard = np.concatenate([np.frombuffer(base64.b64decode(part), "<f4") for part in parts])
    return [base64.b64decode(packet) for packet in packets], heard, between - begun, ended - between


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--no-wer", action="store_true")
    options = parser.parse_args()
    clips = read_manifest(options.manifest, options.limit, None).clips
    codec = NeuralSpeechCodec.load(ASSETS / "codec")
    recognise = None if options.no_wer else recogniser()
    app = Starlette(routes=page_routes(codec.directory), middleware=[Middleware(SecurityHeaders)])
    server, listener = uvicorn.Server(uvicorn.Config(app, log_config=None)), bind(ServerOptions(port=0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    spent = np.zeros(2)
    length_s, farthest = 0.0, 0.0
    texts: list[tuple[str, str, str]] = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(0)
            page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/SAMPLE.md")
            begun = cpu_s()
            page.evaluate(OPEN)
            print(f"loaded in {cpu_s() - begun:.1f} s of CPU time")
            for clip in clips:
                pcm = read_audio(clip.path)
                pcm = np.concatenate([pcm, np.zeros(-len(pcm) % PIECE, np.float32)])
                packets, heard, *times = through(page, pcm)
                decoder = codec.decoder(None)
                said = np.concatenate([decoder.push(packet) for packet in packets])
                farthest = max(farthest, float(np.abs(said - heard).max()))
                spent += times
                length_s += len(pcm) / RATE
                if recognise is not None:
                    reference = " ".join(one.text or "" for one in clip.references)
                    texts.append((reference, recognise(pcm), recognise(heard)))
            browser.close()
    finally:
        server.should_exit = True
        thread.join()
    encode, decode = spent / length_s
    print(f"{len(clips)} recordings, {length_s:.1f} s: samples within {farthest:.1e} of PyTorch's")
    print(f"CPU time / audio: encoding {encode:.3f}, decoding {decode:.3f}, together {encode + decode:.3f}")
    if texts:
        references = [reference for reference, _, _ in texts]
        for number, side in ((1, "as recorded"), (2, "through the codec")):
            found = error_rate("WER", [text[number] for text in texts], references, normaliser_for("en"))
            print(f"WER {side}: {'-' if found is None else format(found.value, '.1f')} %")


if __name__ == "__main__":
    main()
