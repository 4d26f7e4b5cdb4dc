"""How far streamed and offline differ: `python tests/benchmarks/codec_drift.py [--minutes M] [--codec NAME]`.

A batch of slots is streamed for `--minutes` in steps of random length. Slot 0 is one stream all the way; each other
slot is reset now and then, when its session ends, and used again for another. Then every session goes through the
network once more, alone and in one piece, and the greatest difference is told: of the latents, and of the samples
decoded from the streamed latents. The audio is a hum with noise. EnCodec has its published shape and random weights;
of its batch, slots 0 and 1 are compared, as its offline pass takes long.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamst.codecs.catalog import open_codec
from streamst.codecs.encodec import Encodec
from streamst.codecs.neural_stream import NeuralSpeechCodec

SESSIONS = 3  # of one slot after the other, but for slot 0
LONGEST_STEP_FRAMES = 75
ALLOWED = 1e-4

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


@dataclass
class Session:
    """What one session heard and what came of it."""

    slot: int
    pcm: list[Tensor] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)
    samples: list[Tensor] = field(default_factory=list)


def hum(batch: int, samples: int, at: int, sample_rate_hz: int) -> Tensor:
    """Audio (batch, samples) from sample `at` on."""
    time_s = torch.arange(at, at + samples) / sample_rate_hz
    pitch_hz = torch.linspace(90, 260, batch)[:, None]
    voice = (torch.sin(2 * torch.pi * pitch_hz * time_s) > 0.9).float() * (torch.sin(4 * time_s) > 0)
    return 0.2 * voice + 0.01 * torch.randn(batch, samples)


def streamed(
    encode: Step, decode: Step, states: list[Any], frames: int, hop: int, batch: int, rate_hz: int
) -> list[Session]:
    """Every session, in steps of random length."""
    rng = np.random.default_rng(batch)
    resets = {
        int(at): slot
        for slot in range(1, batch)
        for at in sorted(rng.choice(np.arange(1, frames // LONGEST_STEP_FRAMES), SESSIONS - 1, replace=False))
    }
    running = [Session(slot) for slot in range(batch)]
    done: list[Session] = []
    at = step = 0
    while at < frames:
        if step in resets:
            slot = resets[step]
            states[:] = [state.reset([slot]) for state in states]
            done.append(running[slot])
            running[slot] = Session(slot)
        count = min(frames - at, int(rng.integers(1, LONGEST_STEP_FRAMES + 1)))
        pcm = hum(batch, count * hop, at * hop, rate_hz)
        latents, states[0] = encode(pcm, states[0])
        samples, states[1] = decode(latents, states[1])
        for session in running:
            session.pcm.append(pcm[session.slot, None].clone())
            session.latents.append(latents[session.slot, None].clone())
            session.samples.append(samples[session.slot, None].clone())
        at, step = at + count, step + 1
    return [*done, *running]


def compared(name: str, codec: Any, encode: Step, decode: Step, minutes: float, batch: int, slots: int) -> bool:
    """Print one line; whether the difference is as small as it has to be."""
    hop, rate_hz = codec.config.hop_samples, codec.config.sample_rate_hz
    began_s = time.process_time()
    states = [
        codec.encoder.init_state(batch, "cpu", torch.float32),
        codec.decoder.init_state(batch, "cpu", torch.float32),
    ]
    sessions = streamed(encode, decode, states, round(minutes * 60 * rate_hz / hop), hop, batch, rate_hz)
    apart = sound = 0.0
    compared = [session for session in sessions if session.slot < slots]
    for session in compared:
        latents = torch.cat(session.latents, 1)
        whole, _ = encode(torch.cat(session.pcm, 1), codec.encoder.init_state(1, "cpu", torch.float32))
        apart = max(apart, float((latents - whole).abs().max()))
        spoken, _ = decode(latents, codec.decoder.init_state(1, "cpu", torch.float32))
        sound = max(sound, float((torch.cat(session.samples, 1) - spoken).abs().max()))
    longest_s = max(sum(piece.shape[1] for piece in session.pcm) for session in compared) / rate_hz
    print(
        f"{name}, batch {batch}, {len(compared)} sessions of up to {longest_s:.0f} s in {min(slots, batch)} slots: "
        f"latents {apart:.1e}, samples {sound:.1e} apart ({time.process_time() - began_s:.0f} s)",
        flush=True,
    )
    return max(apart, sound) <= ALLOWED


def main() -> None:
    """Print a line for each codec and batch."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=5.0)
    arguments.add_argument("--codec", choices=("ours", "encodec"), default=None)
    arguments.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    close = True
    for batch in options.batch:
        if options.codec != "encodec":
            ours = open_codec("neural")
            assert isinstance(ours, NeuralSpeechCodec)
            module = ours.module
            close &= compared("ours", module, module.encoder.step, module.decoder.step, options.minutes, batch, batch)
        if options.codec != "ours":
            other = Encodec().eval()
            close &= compared("EnCodec", other, other.encode_step, other.decode_step, options.minutes, batch, 2)
    if not close:
        raise SystemExit(f"more than {ALLOWED} apart")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
