"""Residual vector quantisation with factorised codes and quantiser dropout, of the whole latent or of groups of it.

Zeghidour et al., SoundStream (2021): stages quantise what the earlier ones left over, and training drops the later
ones at random, so one model serves every bit rate. Kumar et al., DAC (2023): each stage looks its code up in a few
dimensions only. Yang et al., HiFi-Codec (2023): the latent's dimensions are split into groups, each with its own
residual stages; here the stages take turns among the groups, so that each bit rate serves all of them.
Codebooks follow their data by moving averages (van den Oord et al. 2017, appendix A.1); unused codes restart on data.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from streamst.errors import ConfigError, InputError


class Codebook(nn.Module):
    """One stage: linear to `code_dim`, nearest of `size` codes, linear back."""

    codes: Tensor

    def __init__(self, dim: int, size: int, code_dim: int) -> None:
        super().__init__()
        self.down = nn.Linear(dim, code_dim, bias=False)
        self.up = nn.Linear(code_dim, dim)
        nn.init.orthogonal_(self.down.weight)
        with torch.no_grad():
            self.up.weight.copy_(self.down.weight.t())
            self.up.bias.zero_()
        self.register_buffer("codes", torch.randn(size, code_dim) * 0.5)

    def lookup(self, z: Tensor) -> Tensor:
        """Indices (N,) of the codes nearest to z (N, code_dim)."""
        half_norm = 0.5 * self.codes.square().sum(-1)
        return torch.addmm(half_norm, z, self.codes.t(), alpha=-1).argmin(-1)

    def decode(self, index: Tensor) -> Tensor:
        """Vectors (..., dim) of the codes `index` (...)."""
        return self.up(self.codes[index])

    def confine(self, begin: int, end: int) -> None:
        """From now on and in training, too, read and write only dimensions `begin` to `end` of the latent."""
        for weight, inside in (
            (self.down.weight, (slice(None), slice(begin, end))),
            (self.up.weight, (slice(begin, end),)),
            (self.up.bias, (slice(begin, end),)),
        ):
            mask = torch.zeros_like(weight)
            mask[inside] = 1
            with torch.no_grad():
                weight.mul_(mask)
            weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient))
        with torch.no_grad():
            nn.init.orthogonal_(self.down.weight[:, begin:end])
            self.up.weight[begin:end] = self.down.weight[:, begin:end].t()


class ResidualQuantiser(nn.Module):
    """One stage for each of `sizes` over latents (B, T, dim).

    groups: stage n works on group n modulo `groups` of the dimensions, which are split as evenly as can be. 1 is plain
    residual quantisation. ConfigError for more groups than stages or than fit `code_dim` into each.
    """

    def __init__(self, dim: int, sizes: tuple[int, ...], code_dim: int, groups: int = 1) -> None:
        super().__init__()
        most = max(1, min(len(sizes), dim // code_dim))
        if not 1 <= groups <= most:
            raise ConfigError(f"groups {groups}; {len(sizes)} codebooks of {code_dim} of {dim} dimensions: 1 to {most}")
        self.dim, self.sizes, self.groups = dim, sizes, groups
        self.stages = nn.ModuleList(Codebook(dim, size, code_dim) for size in sizes)
        if groups > 1:
            for number, stage in enumerate(self.first(None)):
                group = number % groups
                stage.confine(dim * group // groups, dim * (group + 1) // groups)

    def quantise(self, latents: Tensor, codebooks: int | None = None) -> tuple[Tensor, Tensor]:
        """latents (B, T, dim) -> quantised (B, T, dim), codes (B, T, codebooks) int64."""
        stages = self.first(codebooks)
        flat = latents.reshape(-1, self.dim)
        total, codes = torch.zeros_like(flat), []
        for stage in stages:
            index = stage.lookup(stage.down(flat - total))
            total = total + stage.decode(index)
            codes.append(index)
        shape = latents.shape[:-1]
        return total.reshape(latents.shape), torch.stack(codes, -1).reshape(*shape, len(stages))

    def dequantise(self, codes: Tensor) -> Tensor:
        """codes (B, T, n) -> latents (B, T, dim). InputError for an index outside a codebook."""
        stages = self.first(codes.shape[-1])
        for number, size in enumerate(self.sizes[: len(stages)]):
            used = codes[..., number]
            if used.numel() and (int(used.min()) < 0 or int(used.max()) >= size):
                worst = int(used.max()) if int(used.max()) >= size else int(used.min())
                raise InputError(f"code {worst} is not in codebook {number} of {size} codes (0 to {size - 1})")
        total = torch.zeros(*codes.shape[:-1], self.dim, device=codes.device, dtype=stages[0].codes.dtype)
        for number, stage in enumerate(stages):
            total = total + stage.decode(codes[..., number])
        return total

    def first(self, codebooks: int | None) -> list[Codebook]:
        """The first `codebooks` stages, None for all; InputError for a number that does not exist."""
        stages = [stage for stage in self.stages if isinstance(stage, Codebook)]
        if codebooks is None:
            return stages
        if not 1 <= codebooks <= len(stages):
            raise InputError(f"{codebooks} codebooks; this codec has 1 to {len(stages)}")
        return stages[:codebooks]


class FusedQuantiser:
    """A trained `ResidualQuantiser` in fewer and smaller steps, for inference.

    A stage is two small matrix products, one search and one row to take away. The rest that is searched for carries a
    1, which brings in half the codes' norms. Codes may differ from the quantiser's where two are equally near.
    """

    def __init__(self, quantiser: ResidualQuantiser) -> None:
        with torch.no_grad():
            stages = quantiser.first(None)
            self.downs, self.keys = [], []
            for stage in stages:
                down = nn.functional.pad(stage.down.weight.t(), (0, 1, 0, 1))
                down[-1, -1] = 1
                half_norm = 0.5 * stage.codes.square().sum(-1, keepdim=True)
                self.downs.append(down)  # (dim + 1, code_dim + 1)
                self.keys.append(torch.cat([stage.codes, -half_norm], 1).t().contiguous())  # (code_dim + 1, size)
            rows = [stage.up(stage.codes) for stage in stages]
            self.rows = nn.functional.pad(torch.cat(rows), (0, 1))  # (all codes, dim + 1)
            starts = [0, *itertools.accumulate(quantiser.sizes)][: len(stages)]
            self.starts = torch.tensor(starts, device=self.rows.device)  # of each stage's rows

    def codes(self, latents: Tensor, codebooks: int) -> Tensor:
        """latents (N, dim) -> codes (N, codebooks) int64."""
        rest, chosen = nn.functional.pad(latents, (0, 1), value=1.0), []
        for number in range(codebooks):
            scores = rest @ self.downs[number] @ self.keys[number]
            # numpy's search is three times faster than torch's on few rows
            on_cpu = scores.device.type == "cpu"
            index = torch.from_numpy(scores.numpy().argmax(1)) if on_cpu else scores.argmax(1)
            rest = rest - self.rows[index + self.starts[number]]
            chosen.append(index)
        return torch.stack(chosen, 1)

    def latents(self, codes: Tensor) -> Tensor:
        """codes (N, n), each inside its codebook -> (N, dim)."""
        return self.rows[codes + self.starts[: codes.shape[1]]].sum(1)[:, :-1]


class ResidualLearner(nn.Module):
    """Training side of a `ResidualQuantiser`: usage statistics, kept apart from the weights that ship."""

    counts: Tensor  # (stages, largest size) moving average of how often a code was chosen; all 0 before the first batch
    sums: Tensor  # (stages, largest size, code_dim) moving average of the sum of what chose it

    def __init__(self, sizes: tuple[int, ...], code_dim: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("counts", torch.zeros(len(sizes), max(sizes)))
        self.register_buffer("sums", torch.zeros(len(sizes), max(sizes), code_dim))

    def go_on(self, quantiser: ResidualQuantiser, latents: int) -> None:
        """Begin with the codes of a trained `quantiser`, as if each of a batch's `latents` chose evenly among them."""
        for number, stage in enumerate(quantiser.first(None)):
            share = latents / len(stage.codes)
            self.counts[number, : len(stage.codes)] = share
            self.sums[number, : len(stage.codes)] = stage.codes * share

    def forward(
        self, quantiser: ResidualQuantiser, latents: Tensor, keep: Tensor, restart: bool = True
    ) -> tuple[Tensor, Tensor]:
        """latents (B, T, dim), keep (B,) stages per row (0: not quantised) -> latents for the decoder, commitment loss.

        Gradients pass straight through the choice of codes. In training mode the codebooks of `quantiser` move, each
        towards the rows that keep its stage; unused codes restart on data if `restart`.
        """
        total = torch.zeros_like(latents)
        commitment = latents.new_zeros(())
        for number, stage in enumerate(quantiser.first(None)):
            rows = (keep > number).nonzero()[:, 0]
            if len(rows) == 0:
                break
            z = stage.down(latents[rows] - total[rows])
            with torch.no_grad():
                flat = z.reshape(-1, z.shape[-1])
                index = stage.lookup(flat)
                if self.training:
                    self._learn(number, stage.codes, flat, index, restart)
                chosen = stage.codes[index].reshape(z.shape)
            commitment = commitment + (z - chosen).square().mean() * (len(rows) / len(keep))
            total = total.index_add(0, rows, stage.up(z + (chosen - z).detach()))
        return torch.where((keep > 0)[:, None, None], total, latents), commitment

    def _learn(self, stage: int, codes: Tensor, z: Tensor, index: Tensor, restart: bool) -> None:
        """Move `codes` in place towards the means of the z (N, code_dim) that chose them."""
        size = len(codes)
        counts, sums = self.counts[stage, :size], self.sums[stage, :size]
        if not bool(counts.any()):
            chosen = z[torch.randint(len(z), (size,), device=z.device)]
            codes.copy_(chosen)
            counts.fill_(len(z) / size)
            sums.copy_(chosen * (len(z) / size))
            return
        counts.lerp_(torch.zeros_like(counts).index_add_(0, index, torch.ones_like(z[:, 0])), 1 - self.decay)
        sums.lerp_(torch.zeros_like(sums).index_add_(0, index, z), 1 - self.decay)
        mean = sums / counts[:, None].clamp_min(1e-6)
        codes.copy_(torch.where(counts[:, None] > 1e-3, mean, codes))
        if restart:
            share = len(z) / size
            dead = counts < 0.05 * share
            chosen = z[torch.randint(len(z), (size,), device=z.device)]
            codes.copy_(torch.where(dead[:, None], chosen, codes))
            sums.copy_(torch.where(dead[:, None], chosen * share, sums))
            counts.copy_(torch.where(dead, share, counts))
