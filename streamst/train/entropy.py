"""Training of the codec's entropy model (`codecs/entropy.py`) on the codes of training speech.

    python -m streamst.train.entropy --root ../shared/data --speech speech/en/librispeech speech/de/kerstin \\
        --out entropy.safetensors

The network is trained as it will run: weights and activations are rounded in the forward pass, gradients pass straight
through the rounding (Bengio et al. 2013).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.audio import read_audio
from streamst.codecs import entropy
from streamst.codecs.bitstream import CODE_BITS
from streamst.codecs.neural import NeuralCodec
from streamst.errors import InputError

WIDTH, HIDDEN = 8, 32


def rounded(x: Tensor, scale: int, largest: float = 127.0) -> Tensor:
    """x on a grid of 1 / scale, at most largest / scale; the gradient passes as if it were not."""
    return x + ((x * scale).round().clamp(-largest, largest) / scale - x).detach()


class EntropyNet(nn.Module):
    """The network of `EntropyModel` in floating point that lies on its integers' grid."""

    def __init__(self, codebooks: int, size: int, width: int = WIDTH, hidden: int = HIDDEN) -> None:
        super().__init__()
        inputs = 2 * codebooks * width + 1
        self.codebooks, self.width = codebooks, width
        self.embedding = nn.Parameter(torch.randn(codebooks, size, width))
        self.first = nn.Parameter(torch.randn(codebooks, inputs, hidden) * (2 / inputs) ** 0.5)
        self.first_bias = nn.Parameter(torch.zeros(codebooks, hidden))
        self.second = nn.Parameter(torch.randn(codebooks, hidden, size) * 0.1)
        self.second_bias = nn.Parameter(torch.zeros(codebooks, size))

    def forward(self, codes: Tensor, fresh: Tensor) -> Tensor:
        """codes (N, 2, K), the frame before and the frame; fresh (N,) without one before -> nats (N, K) spent."""
        number = torch.arange(self.codebooks)
        seen = rounded(self.embedding, entropy.INPUT_SCALE)[number, codes]  # (N, 2, K, E)
        has = (~fresh).to(seen.dtype)
        seen = torch.cat([seen[:, :1] * has[:, None, None, None], seen[:, 1:]], dim=1)
        spent = []
        half = self.codebooks * self.width
        for q in range(self.codebooks):
            used = half + q * self.width
            x = torch.cat([seen.flatten(1)[:, :used], has[:, None]], dim=1)
            weight = rounded(self.first[q], entropy.FIRST_SCALE)
            weight = torch.cat([weight[:used], weight[-1:]])
            fine = entropy.FIRST_SCALE * entropy.INPUT_SCALE
            hidden = x @ weight + rounded(self.first_bias[q], fine, 1e6)
            low = hidden + ((hidden * entropy.HIDDEN_SCALE).floor() / entropy.HIDDEN_SCALE - hidden).detach()
            hidden = low.clamp(0, 127 / entropy.HIDDEN_SCALE)
            fine = entropy.HIDDEN_SCALE * entropy.SECOND_SCALE
            scores = hidden @ rounded(self.second[q], entropy.SECOND_SCALE)
            scores = scores + rounded(self.second_bias[q], fine, 1e6)
            spent.append(F.cross_entropy(scores, codes[:, 1, q], reduction="none"))
        return torch.stack(spent, 1)

    @torch.no_grad()
    def export(self) -> entropy.EntropyModel:
        """The integer network."""

        def whole(x: Tensor, scale: int, largest: int, kind: type) -> np.ndarray:
            return (x * scale).round().clamp(-largest, largest).numpy().astype(kind)

        first = entropy.INPUT_SCALE * entropy.FIRST_SCALE
        second = entropy.HIDDEN_SCALE * entropy.SECOND_SCALE
        steps = np.arange(64 * 11)
        table = np.maximum(1, np.rint(2.0**entropy.TABLE_BITS * np.exp(-steps / 64))).astype(np.int32)
        weights = entropy.EntropyWeights(
            whole(self.embedding, entropy.INPUT_SCALE, 127, np.int8),
            whole(self.first, entropy.FIRST_SCALE, 127, np.int8),
            whole(self.first_bias, first, 1_000_000, np.int32),
            whole(self.second, entropy.SECOND_SCALE, 127, np.int8),
            whole(self.second_bias, second, 1_000_000, np.int32),
            table,
        )
        return entropy.EntropyModel(weights, int(weights.second.astype(np.int64).sum()) % 256)


@torch.inference_mode()
def codes_of(codec: NeuralCodec, files: list[Path]) -> list[Tensor]:
    """Codes (frames, codebooks) of each file."""
    found = []
    for path in files:
        pcm = torch.from_numpy(read_audio(path, codec.config.sample_rate_hz))
        level = float(pcm.square().mean().sqrt())
        if level > 1e-4:
            found.append(codec.quantise(codec.encode(pcm[None] * (0.08 / level)))[1][0])
    if not found:
        raise InputError("no training clip with speech in it was found")
    return found


def train(clips: list[Tensor], size: int, steps: int, rows: int = 512, rate: float = 4e-3) -> EntropyNet:
    """A network trained on the codes of `clips`; a tenth of the frames stand at a packet's beginning."""
    torch.manual_seed(3)
    net = EntropyNet(clips[0].shape[1], size)
    pairs = torch.cat([torch.stack([clip[:-1], clip[1:]], 1) for clip in clips if len(clip) > 1])
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for step in range(steps):
        chosen = pairs[torch.randint(len(pairs), (rows,))]
        loss = net(chosen, torch.rand(rows) < 0.1).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step}: {loss.item() / np.log(2) / (CODE_BITS * net.codebooks):.4f} of the bits", flush=True)
    return net


def main() -> None:
    """Command line."""
    from streamst.train.codec import manifest_files

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, default=Path(__file__).parent.parent / "assets/codec")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--speech", nargs="+", required=True, help="folders with a manifest.tsv; split train")
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    codec = NeuralCodec.load(options.codec)
    files = [options.root / name for name in manifest_files(options.root, tuple(options.speech), "train")]
    order = np.random.default_rng(1).permutation(len(files))[: options.clips]
    clips = codes_of(codec, [files[i] for i in order])
    print(f"{sum(map(len, clips)) / codec.config.frame_hz / 60:.0f} minutes of speech", flush=True)
    train(clips, codec.config.codebook_size, options.steps).export().save(options.out)


if __name__ == "__main__":
    main()
