"""Real-time factor of encoder and heads a stream: `python tests/benchmarks/encoder.py [--chunk-ms N] [--rounds N]`.

The shipped model's listener with its CTC head, plain, frozen and in 8 bits, at 1 and 8 streams, and a transducer head
with random weights on top; beside torchaudio's Emformer RNN-T (76.7 M parameters, random weights, 160 ms segments)
where this Python has torchaudio: see `rnnt_loss.py` for one that does. One thread; CPU time of this process over
seconds of audio, the least of rounds that take turns, so the ratios hold on a busy machine.
"""

from __future__ import annotations

import argparse
import copy
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import streamst
from streamst.models.listen.listener import Listener
from streamst.models.listen.transducer import Transducer, TransducerConfig
from streamst.models.quantise import FrozenEncoder, in_8_bits
from streamst.models.translator import SpeechTranslator

Run = Callable[[], object]


def listeners(listener: Listener) -> dict[str, Listener]:
    """The listener in every precision."""
    found = {"float32": listener}
    for name, encoder in (("frozen", listener.encoder), ("int8", in_8_bits(listener.encoder))):
        made = copy.copy(listener)
        made._modules = dict(listener._modules)
        made._modules["encoder"] = FrozenEncoder(encoder)  # type: ignore[arg-type]
        found[name] = made
    return found


def ours(listener: Listener, streams: int, chunk_ms: int, transducer: Transducer | None = None) -> Run:
    """One chunk of every stream, from where the last one ended."""
    samples = chunk_ms * 16 // listener.frame_samples * listener.frame_samples
    pcm = 0.1 * torch.randn(streams, samples)
    held = {"state": listener.init_state(streams)}
    label = None if transducer is None else transducer.init_state(streams)

    def run() -> Tensor:
        states, held["state"] = listener.step(pcm, held["state"])
        if transducer is not None and label is not None:
            transducer.greedy(states, label)
        return listener.source_log_probs(states).argmax(-1)

    return run


def emformer(streams: int) -> tuple[Run, float] | None:
    """torchaudio's streaming recogniser: one segment of 160 ms, greedy-sized predictor and joiner work left out."""
    try:
        from torchaudio.models import emformer_rnnt_base  # type: ignore[import-not-found]
    except (ImportError, OSError):
        return None
    model = emformer_rnnt_base(num_symbols=4097).eval()
    segment = torch.randn(streams, 16 + 4, 80)  # 160 ms and 40 ms of right context
    lengths = torch.full((streams,), 20)
    held: dict[str, list[list[Tensor]] | None] = {"state": None}

    def run() -> Tensor:
        out, _, held["state"] = model.transcribe_streaming(segment, lengths, held["state"])
        return out

    return run, 0.16


def main(chunk_ms: int, rounds: int, model: Path) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    listener = SpeechTranslator.load(model).listener
    head = Transducer(
        TransducerConfig(listener.config.source_tokens, listener.config.encoder.dim, listener.config.encoder.dim)
    ).eval()
    with torch.no_grad():
        head.out.bias[0] += 1.0  # blank for most frames, as trained ones are
    millions = sum(p.numel() for p in listener.parameters()) / 1e6
    print(
        f"torch {torch.__version__}, {platform.machine()}, 1 thread, listener of {millions:.1f} M, {chunk_ms} ms chunks"
    )
    for streams in (1, 8):
        runs: dict[str, tuple[Run, float]] = {
            name: (ours(one, streams, chunk_ms), chunk_ms / 1000) for name, one in listeners(listener).items()
        }
        runs["frozen + transducer"] = ours(listeners(listener)["frozen"], streams, chunk_ms, head), chunk_ms / 1000
        theirs = emformer(streams)
        if theirs is not None:
            runs["torchaudio Emformer"] = theirs
        least = dict.fromkeys(runs, float("inf"))
        with torch.inference_mode():
            for number in range(rounds + 2):
                for name, (run, seconds) in runs.items():
                    began = time.process_time()
                    run()
                    if number >= 2:
                        least[name] = min(least[name], (time.process_time() - began) / seconds / streams)
        for name, factor in least.items():
            print(f"{streams} streams  {name:20} RTF {factor:.4f} a stream, {least['float32'] / factor:5.2f} x float32")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--model", type=Path, default=Path(streamst.__file__).parent / "assets/translator")
    options = parser.parse_args()
    main(options.chunk_ms, options.rounds, options.model)
