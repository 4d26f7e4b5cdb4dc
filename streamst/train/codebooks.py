"""Codebooks of a trained codec fitted anew: residual k-means over its encoder's latents.

    python -m streamst.train.codebooks --model streamst/assets/codec --out runs/codebooks

Training lets codebooks of a few dimensions follow the encoder while it learns. Once the encoder stays as it is, whole
latents are quantised better by Lloyd's algorithm (1982), stage after stage on what the earlier ones left over. A latent
counts by how much it moves the decoder's spectrum.
"""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from streamst.codecs.neural import CodecDecoder, NeuralCodec
from streamst.train.codec import CodecTask, task
from streamst.train.recipe import SHIPPED

SETTLED_FRAMES = 8  # of a crop: before them the encoder has heard too little
NUDGE = 0.3  # of a latent, to see what it does
ROWS = 512  # at once: their scores stay in the cache


def latents_of(trained: CodecTask, codec: NeuralCodec, frames: int) -> Tensor:
    """Timbre latents (frames, latent_dim - 1) of training crops, as noisy and loud as in training."""
    found: list[Tensor] = []
    hop = codec.config.hop_samples
    with torch.inference_mode():
        for batch in trained.batches(0):
            latents = codec.encode(batch.heard)[:, SETTLED_FRAMES:, 1:].flatten(0, 1)
            silent = batch.heard.unfold(1, hop, hop)[:, SETTLED_FRAMES:].abs().amax(-1).flatten() == 0
            found.append(latents[~silent])
            if sum(map(len, found)) >= frames:
                break
    return torch.cat(found)[:frames].clone()


def importance(decoder: CodecDecoder, latents: Tensor) -> Tensor:
    """How much of the spectrum each timbre latent moves (latent_dim - 1,), squared, on average 1.

    latents (1, T, latent_dim), of one recording.
    """

    def spectrum(given: Tensor) -> Tensor:
        controls, _ = decoder.controls(given, decoder.stack.init_state(1))
        level = decoder.synthesis.level(controls)
        hz = torch.arange(level.shape[-1]) / (level.shape[-1] - 1) * decoder.config.sample_rate_hz / 2
        return level * (1 / (1 + hz / 700)).sqrt()  # as dense as the mel scale

    with torch.no_grad():
        plain = spectrum(latents)
        moved = []
        for number in range(1, latents.shape[2]):
            nudged = latents.clone()
            nudged[..., number] += NUDGE
            moved.append((spectrum(nudged) - plain).square().mean())
    weight = torch.stack(moved)
    return weight / weight.mean()


def nearest(rows: Tensor, codes: Tensor) -> Tensor:
    """Indices (N,) of the codes nearest to rows (N, D)."""
    half = 0.5 * codes.square().sum(1)
    found = [torch.from_numpy((part @ codes.t() - half).numpy().argmax(1)) for part in rows.split(ROWS)]
    return torch.cat(found)


def kmeans(rows: Tensor, size: int, iterations: int) -> Tensor:
    """`size` means (size, D) of rows (N, D); an unused one begins anew on a row."""
    codes = rows[torch.randperm(len(rows))[:size]].clone()
    for _ in range(iterations):
        index = nearest(rows, codes)
        counts = torch.bincount(index, minlength=len(codes))
        sums = torch.zeros_like(codes).index_add_(0, index, rows)
        fresh = rows[torch.randint(len(rows), (len(codes),))]
        codes = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), fresh)
    return codes


def refitted(codec: NeuralCodec, latents: Tensor, weight: Tensor, iterations: int = 10) -> NeuralCodec:
    """The same encoder and decoder with new codebooks over whole latents.

    latents (N, latent_dim - 1) to fit to; weight (latent_dim - 1,) of their squared distances.
    """
    dim = codec.config.latent_dim - 1
    new = NeuralCodec(replace(codec.config, code_dim=dim, groups=1)).eval()
    new.encoder.load_state_dict(codec.encoder.state_dict())
    new.decoder.load_state_dict(codec.decoder.state_dict())
    scale = weight.sqrt()
    rest = latents * scale
    whole = rest.square().sum()
    with torch.no_grad():
        for number, (stage, size) in enumerate(zip(new.quantiser.first(None), new.quantiser.sizes, strict=True), 1):
            codes = kmeans(rest, size, iterations)
            rest = rest - codes[nearest(rest, codes)]
            stage.down.weight.copy_(torch.diag(scale))
            stage.codes.copy_(codes)
            stage.up.weight.copy_(torch.diag(1 / scale))
            stage.up.bias.zero_()
            print(f"{number} codebooks: {float(rest.square().sum() / whole):.3f} of the power is left", flush=True)
    return new


def main() -> None:
    """Fit and save."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recipe", type=Path, default=SHIPPED / "codec.toml", help="whose data is used")
    arguments.add_argument("--model", type=Path, required=True, help="the trained codec")
    arguments.add_argument("--out", type=Path, required=True, help="directory to write")
    arguments.add_argument("--frames", type=int, default=160_000)
    arguments.add_argument("--iterations", type=int, default=10)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    codec = NeuralCodec.load(options.model)
    trained = task(tomllib.loads(options.recipe.read_text(encoding="utf-8")), "cpu")
    one = next(trained.batches(1)).heard.flatten()[None]
    with torch.no_grad():
        weights = importance(codec.decoder, codec.encode(one))
    latents = latents_of(trained, codec, options.frames)
    refitted(codec, latents, weights, options.iterations).save(options.out)


if __name__ == "__main__":
    main()
