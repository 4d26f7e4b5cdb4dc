"""Real-time factors of the codecs, all in one run: `python tests/benchmarks/codec.py [--rounds N]`.

One thread; CPU time of this process for one stream's second of audio, the least of the rounds, which take turns.
Pieces of 80 ms. The `encodec` package has no state, so its pieces come out wrong; it stands here for the time. Its
weights and those of our streaming EnCodec are random, which does not change the time. Ours is timed frozen, as a server
runs it, and plain.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import torch

from streamst.codecs.catalog import open_codec
from streamst.codecs.encodec import Encodec
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.codecs.opus import OpusCodec

PIECE_S = 0.08

Half = Callable[[], object]


def ours(codec: NeuralSpeechCodec, batch: int) -> tuple[Half, Half]:
    """Encode and decode one piece at 3 kbit/s."""
    module, encoder_step, decoder_step = codec.module, codec.encoder_step, codec.decoder_step
    pcm = torch.randn(batch, round(PIECE_S * 16_000)) * 0.05
    states = [module.encoder.init_state(batch), module.decoder.init_state(batch)]
    codes = codec.quantise(module.encoder.step(pcm, states[0])[0], 6)  # type: ignore[arg-type]

    def encode() -> None:
        latents, states[0] = encoder_step(pcm, states[0])  # type: ignore[arg-type, assignment]
        codec.quantise(latents, 6)

    def decode() -> None:
        _, states[1] = decoder_step(codec.dequantise(codes), states[1])  # type: ignore[arg-type, assignment]

    return encode, decode


def our_encodec(module: Encodec, batch: int) -> tuple[Half, Half]:
    """Encode and decode one piece at 6 kbit/s."""
    pcm = torch.randn(batch, round(PIECE_S * 24_000)) * 0.05
    states = [module.encoder.init_state(batch), module.decoder.init_state(batch)]
    codes = module.quantise(module.encode(pcm), 8)

    def encode() -> None:
        latents, states[0] = module.encode_step(pcm, states[0])
        module.quantise(latents, 8)

    def decode() -> None:
        _, states[1] = module.decode_step(module.dequantise(codes), states[1])

    return encode, decode


def their_encodec(batch: int) -> tuple[Half, Half] | None:
    """The package's, where it is installed; None else."""
    if find_spec("encodec") is None:
        return None
    try:
        import_module("torchaudio")
    except (ImportError, OSError):  # its wheel needs a torch for CUDA; encodec reads files with it, and only that
        sys.modules["torchaudio"] = ModuleType("torchaudio")
    package = import_module("encodec.model")
    model = package.EncodecModel._get_model([1.5, 3.0, 6.0, 12.0, 24.0], 24_000, 1, causal=True).eval()
    model.set_target_bandwidth(6.0)
    pcm = torch.randn(batch, 1, round(PIECE_S * 24_000)) * 0.05
    frames = model.encode(pcm)
    return lambda: model.encode(pcm), lambda: model.decode(frames)


def opus(batch: int) -> tuple[Half, Half]:
    """Encode and decode one piece at 6 kbit/s, one stream after the other."""
    codec = OpusCodec()
    pcm = (np.random.default_rng(0).standard_normal(round(PIECE_S * 16_000)) * 0.05).astype(np.float32)
    pairs = [(codec.encoder(6000), codec.decoder()) for _ in range(batch)]
    packet = codec.encoder(6000).push(pcm)
    return (
        lambda: [encoder.push(pcm) for encoder, _ in pairs],
        lambda: [decoder.push(packet) for _, decoder in pairs],
    )


def speeds(rounds: int) -> None:
    """Print one table."""
    codec = open_codec("neural")
    plain = open_codec("neural")
    assert isinstance(codec, NeuralSpeechCodec)
    assert isinstance(plain, NeuralSpeechCodec)
    codec.freeze()
    streaming = Encodec().eval()
    print(f"torch {torch.__version__}, 1 thread, pieces of {PIECE_S * 1000:.0f} ms; CPU seconds a second of audio")
    print(f"{'batch':>5} {'codec':>20} {'encode':>8} {'decode':>8} {'both':>8} {'times ours':>10}")
    for batch in (1, 8):
        halves = {
            "ours": ours(codec, batch),
            "ours, not frozen": ours(plain, batch),
            "EnCodec, streaming": our_encodec(streaming, batch),
        }
        theirs = their_encodec(batch)
        if theirs is not None:
            halves["encodec package"] = theirs
        halves["Opus"] = opus(batch)
        spent = {name: [float("inf")] * 2 for name in halves}
        for _ in range(rounds):
            for name, pair in halves.items():
                for number, half in enumerate(pair):
                    began = time.process_time()
                    half()
                    spent[name][number] = min(spent[name][number], time.process_time() - began)
        for name, both in spent.items():
            encode, decode = (seconds / PIECE_S / batch for seconds in both)
            ratio = sum(both) / sum(spent["ours"])
            print(f"{batch:5} {name:>20} {encode:8.4f} {decode:8.4f} {encode + decode:8.4f} {ratio:10.1f}", flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=20)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with torch.inference_mode():
        speeds(options.rounds)
