"""The codecs of the page in a real Chromium: the neural one computes what Python's does; what travels can be heard."""
# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browsing import (
    Browse,
    browse,  # noqa: F401
    clip,  # noqa: F401
    figure,
    playwright,  # noqa: F401
    until,
)
from playwright.sync_api import expect
from serving import running
from talking import Stage, staged, voice

from streamst.audio import Pcm
from streamst.codecs.base import Codec
from streamst.codecs.catalog import ASSETS, open_codec
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.codecs.receive import PacketReceiver
from streamst.pipeline import Pipeline
from streamst.server.wire.audio import receiver
from streamst.server.wire.native import pack_audio, unpack_audio

pytestmark = pytest.mark.browser

CODE = """
async (samples) => {
  const { Neural } = await import("/neural.js");
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const raw = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const text = (array) => btoa(Array.from(raw(array), (byte) => String.fromCharCode(byte)).join(""));
  const neural = new Neural(new URL("codec/", location.href).href);
  await neural.load();
  const pcm = new Float32Array(bytes(samples).buffer);
  const told = { latents: [], packets: [], heard: [] };
  for (let at = 0; at < pcm.length; at += 3200) {
    const piece = pcm.slice(at, at + 3200);
    const packet = await neural.encode(piece);
    told.packets.push(text(packet));
    told.heard.push(text((await neural.decode(packet)).samples));
  }
  await neural.ask("renew", { side: "encoder" });
  for (let at = 0; at < pcm.length; at += 3200) {
    told.latents.push(text((await neural.ask("encode", { samples: pcm.slice(at, at + 3200) })).latents));
  }
  return told;
}
"""


@pytest.fixture(scope="module")
def shipped() -> NeuralSpeechCodec:
    return NeuralSpeechCodec.load(ASSETS / "codec")


@pytest.fixture(scope="module")
def light(tiny_pipeline: Pipeline, shipped: NeuralSpeechCodec) -> Iterator[str]:
    """The address of a server with a tiny model and the codec that ships."""
    with running(Pipeline("shipped codec", tiny_pipeline.models, shipped)) as address:
        yield address


def floats(parts: list[str]) -> Pcm:
    return np.concatenate([np.frombuffer(base64.b64decode(part), "<f4") for part in parts])


def test_chromium_computes_the_neural_codec_as_python_does(
    light: str, browse: Browse, shipped: NeuralSpeechCodec
) -> None:
    pcm = voice()[: 3200 * 10]
    page = browse(allow=False).new_page()
    page.goto(light + "/")
    told = page.evaluate(CODE, base64.b64encode(pcm.astype("<f4").tobytes()).decode())
    with torch.inference_mode():
        latents = shipped.module.encoder(torch.from_numpy(pcm)[None])[0].numpy()
    assert np.abs(floats(told["latents"]).reshape(latents.shape) - latents).max() < 1e-3
    decoder = shipped.decoder(None)
    said = np.concatenate([decoder.push(base64.b64decode(packet)) for packet in told["packets"]])
    assert np.abs(floats(told["heard"]) - said).max() < 1e-3
    assert np.abs(said).max() > 0.1


def heard(codec: Codec, frames: list[bytes], name: str) -> Pcm:
    """What a server hears of the page's messages in a codec."""
    found: PacketReceiver = receiver(codec)
    parts: list[Any] = []
    for frame in frames:
        audio = unpack_audio(frame)
        assert audio is not None
        if audio.codec == name:
            parts.append(found.push(audio.payload))
    parts.append(found.flush())
    assert (found.delivery.damaged, found.delivery.late, found.delivery.concealed_frames) == (0, 0, 0)
    return np.concatenate(parts)


def speak_coded(stage: Stage, codec: Codec, name: str, pcm: Pcm) -> None:
    """The server says `pcm` in pieces, coded."""
    encoder = codec.encoder(None)
    for number, at in enumerate(range(0, len(pcm), 3200)):
        payload = encoder.push(pcm[at : at + 3200])
        stage.say("speech", sequence=number, codec=name, samples=3200, sample_rate_hz=16_000, text="Wort")
        stage.sockets[-1].send(pack_audio(name, number, 0, payload))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "kbps"), [("neural", 20), ("opus", 40)])
def test_what_was_chosen_travels_both_ways_and_is_heard_on_both_sides(
    light: str, browse: Browse, clip: tuple[Path, float], name: str, kbps: float
) -> None:
    codec = open_codec(name)
    setting = f"if (location.protocol === 'http:') localStorage.setItem('streamst.codec', {json.dumps(name)})"
    page, stage = staged(light, browse, setting, f"--use-file-for-fake-audio-capture={clip[0]}")  # again and again
    assert page.locator("#codec").input_value() == name
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#state")).to_have_text("Listening")
    until(page, lambda: [config.get("codec") for config in stage.configs][-1:] == [name])
    assert [config["output_codec"] for config in stage.configs] == [config["codec"] for config in stage.configs]
    before = len(stage.frames)
    until(page, lambda: len(stage.frames) > before + 25)  # five seconds
    speak_coded(stage, codec, name, voice()[: 3200 * 10])
    until(page, lambda: figure(page, "#voice", "energy") > 0.5)
    expect(page.locator("#upload")).to_have_attribute("data-codec", name)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("Ready")
    pcm = heard(codec, stage.frames, name)
    assert np.abs(pcm).max() > 0.05
    coded = [frame for frame in stage.frames if frame[1] != 0]
    assert sum(map(len, coded)) * 8 / (len(pcm) / 16_000) < kbps * 1000
