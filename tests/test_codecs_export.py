"""The neural codec as graphs for browsers: what PyTorch computes, in pieces of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from serving import running

from streamst.audio import Pcm, read_audio
from streamst.codecs.catalog import ASSETS
from streamst.codecs.export import DECODER, ENCODER, WEIGHTS, export
from streamst.codecs.neural import NeuralCodec, NeuralCodecConfig
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.errors import InputError
from streamst.pipeline import Pipeline

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int32)": np.int32}
SHIPPED = ASSETS / "codec"


class Graph:
    """A graph that is run piece by piece."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path)
        self._names = [output.name for output in self._session.get_outputs()]
        inputs = [one for one in self._session.get_inputs() if one.name.startswith("state.")]
        self._state: dict[str, Any] = {one.name: np.zeros(one.shape, TYPES[one.type]) for one in inputs}

    def run(self, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = dict(zip(self._names, self._session.run(None, {**given, **self._state}), strict=True))
        self._state = {name: found[name.replace("state.", "after.")] for name in self._state}
        return found


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return read_audio(SAMPLE)[16_000 : 16_000 + 320 * 200]


@pytest.mark.parametrize("pieces", [(10,), (1, 7, 2)])
def test_the_graphs_hear_and_speak_as_the_codec_does_whatever_the_pieces(speech: Pcm, pieces: tuple[int, ...]) -> None:
    codec = NeuralSpeechCodec.load(SHIPPED)
    encoder, decoder = Graph(SHIPPED / ENCODER), Graph(SHIPPED / DECODER)
    latents, codes, samples = list[Any](), list[Any](), list[Any]()
    at = number = 0
    while at < len(speech):
        size = 320 * pieces[number % len(pieces)]
        heard = encoder.run(pcm=speech[at : at + size])
        latents.append(heard["latents"])
        codes.append(heard["codes"])
        samples.append(decoder.run(codes=heard["codes"][:, :6])["samples"])
        at, number = at + size, number + 1
    with torch.inference_mode():
        expected = codec.module.encoder(torch.from_numpy(speech)[None])
        chosen = codec.quantise(torch.from_numpy(np.concatenate(latents))[None], 12)[0].numpy()
        said = codec.module.decoder(codec.latents(np.concatenate(codes)[:, :6].astype(np.int64)))[0].numpy()
    assert np.abs(np.concatenate(latents) - expected[0].numpy()).max() < 1e-3
    assert (np.concatenate(codes) == chosen).mean() > 0.999  # but where two codes are equally near
    assert np.abs(np.concatenate(samples) - said).max() < 1e-3
    assert np.abs(said).max() > 0.1


def test_the_shipped_graphs_are_those_of_the_shipped_weights(tmp_path: Path) -> None:
    for name in ("config.json", WEIGHTS):
        (tmp_path / name).symlink_to(SHIPPED / name)
    for made in export(tmp_path):
        shipped, fresh = (onnx.load(path, load_external_data=False).graph for path in (SHIPPED / made.name, made))
        nodes = [[(node.op_type, list(node.input)) for node in graph.node] for graph in (shipped, fresh)]
        assert nodes[0] == nodes[1]
        places = [[list(one.external_data) for one in graph.initializer] for graph in (fresh, shipped)]
        assert places[0] == places[1]
        assert made.stat().st_size < 500_000


def test_another_codec_is_exported_with_its_own_shapes_and_one_of_groups_is_refused(tmp_path: Path) -> None:
    small = NeuralCodecConfig(latent_dim=16, encoder_dim=16, encoder_blocks=1, decoder_dim=24, decoder_blocks=2)
    torch.manual_seed(1)
    NeuralCodec(small).save(tmp_path)
    codec = NeuralSpeechCodec.load(tmp_path)
    encoder, _ = export(tmp_path)
    noise = np.random.default_rng(1).standard_normal(320 * 20).astype(np.float32) * 0.1
    with torch.inference_mode():
        expected = codec.module.encoder(torch.from_numpy(noise)[None])[0].numpy()
    assert np.abs(Graph(encoder).run(pcm=noise)["latents"] - expected).max() < 1e-3
    NeuralCodec(NeuralCodecConfig(latent_dim=17, codebooks=4, groups=2)).save(tmp_path)
    with pytest.raises(InputError, match="a codec of 2 groups is not exported; allowed: 1"):
        export(tmp_path)


def test_a_server_gives_the_page_the_codec_that_it_speaks_with_and_only_the_worker_may_compile(
    tiny_pipeline: Pipeline,
) -> None:
    import httpx

    with running(tiny_pipeline) as address:  # its codec has no folder
        assert httpx.get(f"{address}/codec/{WEIGHTS}").status_code == 404
    codec = NeuralSpeechCodec.load(SHIPPED)
    with running(Pipeline("shipped codec", tiny_pipeline.models, codec)) as address:
        for name in (ENCODER, DECODER, WEIGHTS):
            assert httpx.get(f"{address}/codec/{name}").content == (SHIPPED / name).read_bytes()
        assert httpx.get(f"{address}/codec/config.json").status_code == 404
        for path, compiles in (("/", False), ("/app.js", False), ("/coder/worker.js", True)):
            rules = httpx.get(address + path).headers["content-security-policy"]
            assert ("wasm-unsafe-eval" in rules) is compiles
