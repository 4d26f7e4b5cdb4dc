"""The RNN-T loss (Graves 2012, arXiv:1211.3711): an anti-diagonal scan in plain torch with gradients in closed form.

A path through the lattice (t, u) starts at (0, 0), goes by a label to (t, u + 1) or by blank to (t + 1, u), and ends
with the blank of its row's last frame after its last label. Cells of one anti-diagonal depend only on the one before,
so T + U steps over whole diagonals do the sums; forward and backward variables are scanned together, as rows of one
batch. Only blank and the next label matter, so the scan works on (B, T, U + 1) and never on the vocabulary.

Two ways lead there: `emissions` from full logits (B, T, U + 1, V) of a joiner, and `simple_emissions` from frame and
label logits whose sum would be the joiner's (the factorised form of Kuang et al. 2022, arXiv:2206.13236), which never
holds a tensor of that size. `bands` are the pruning ranges of the same paper, from the simple form's gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

IMPOSSIBLE = -1e30  # a log-probability of zero that survives subtraction
_BLOCK = 1 << 17  # logits handled at a time: fits the second-level cache


def rnnt_loss(logits: Tensor, targets: Tensor, frames: Tensor, labels: Tensor, blank: int = 0) -> Tensor:
    """Negative log-likelihood (B,) of `targets` (B, U) under joiner `logits` (B, T, U + 1, V).

    frames, labels: (B,) valid frames (at least 1) and labels of each row. float32 inside, whatever comes.
    """
    return lattice_loss(*emissions(logits, targets, frames, labels, blank), frames, labels)


def simple_rnnt_loss(
    by_frame: Tensor, by_label: Tensor, targets: Tensor, frames: Tensor, labels: Tensor, blank: int = 0
) -> Tensor:
    """As `rnnt_loss` of logits `by_frame[:, :, None] + by_label[:, None]`: (B, T, V) and (B, U + 1, V)."""
    return lattice_loss(*simple_emissions(by_frame, by_label, targets, blank), frames, labels)


def lattice_loss(blank: Tensor, label: Tensor, frames: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood (B,) from log-probabilities: of blank (B, T, U + 1), of the next label (B, T, U)."""
    if blank.shape[2] != label.shape[2] + 1 or blank.shape[:2] != label.shape[:2]:
        raise ValueError(f"blank {tuple(blank.shape)} and label {tuple(label.shape)} are not one lattice")
    return _Lattice.apply(blank, label, frames.to(blank.device), labels.to(blank.device))  # type: ignore[no-any-return]


def emissions(logits: Tensor, targets: Tensor, frames: Tensor, labels: Tensor, blank: int = 0) -> tuple[Tensor, Tensor]:
    """Log-probabilities of blank (B, T, U + 1) and of the next label (B, T, U); padding is left at zero."""
    if targets.numel() and int(targets.max()) >= logits.shape[-1]:
        raise ValueError(f"target {int(targets.max())} is not one of {logits.shape[-1]} classes")
    device = logits.device
    return _Emissions.apply(logits, targets.to(device), frames.tolist(), labels.tolist(), blank)  # type: ignore[no-any-return]


def simple_emissions(by_frame: Tensor, by_label: Tensor, targets: Tensor, blank: int = 0) -> tuple[Tensor, Tensor]:
    """`emissions` of logits `by_frame[:, :, None] + by_label[:, None]`, whose normaliser is one matrix product."""
    by_frame, by_label = by_frame.float(), by_label.float()
    top_frame, top_label = by_frame.amax(-1, keepdim=True).detach(), by_label.amax(-1, keepdim=True).detach()
    total = (by_frame - top_frame).exp() @ (by_label - top_label).exp().transpose(1, 2)  # (B, T, U + 1)
    norm = total.clamp_min(1e-30).log() + top_frame + top_label.transpose(1, 2)
    index = targets.to(by_frame.device)
    heard = by_frame.gather(2, index[:, None].expand(-1, by_frame.shape[1], -1))  # (B, T, U)
    said = by_label[:, :-1].gather(2, index[..., None])[..., 0]  # (B, U)
    label = heard + said[:, None] - norm[:, :, :-1]
    return by_frame[..., blank, None] + by_label[:, None, :, blank] - norm, label


def bands(occupation: Tensor, frames: Tensor, labels: Tensor, width: int) -> Tensor:
    """Where a pruned joiner should look: the first of `width` label positions for every frame, (B, T).

    occupation: (B, T, U + 1) probability that a path leaves the cell by blank, plus that it does so by a label.
    Starts never fall, rise by less than `width` a frame (so that neighbours share a cell), begin at 0 and end so that
    the last label is inside.
    """
    last = (labels.to(occupation.device) + 1 - width).clamp_min(0)[:, None]
    sums = F.pad(occupation.cumsum(2), (1, 0))
    size = sums.shape[2]
    ends = torch.arange(width, size + width - 1, device=occupation.device).clamp_max(size - 1)
    best = (sums[:, :, ends] - sums[:, :, : len(ends)]).argmax(2)
    steps = torch.arange(occupation.shape[1], device=occupation.device)[None]
    left = (frames.to(occupation.device)[:, None] - 1 - steps).clamp_min(0)
    reach = (width - 1) * torch.ones_like(left)
    lowest = (last - reach * left).clamp_min(0)  # from which the end can still be reached
    start = torch.minimum(torch.maximum(best, lowest), torch.minimum(last, reach * steps)).cummax(1).values
    # No start may be more than `reach` ahead of the one before: the least of start[s] + reach * (t - s) over s <= t.
    return torch.maximum((start - reach * steps).cummin(1).values + reach * steps, lowest)


def banded(values: Tensor, starts: Tensor, size: int) -> Tensor:
    """Log-probabilities of a band (B, T, width), put in their places of a lattice (B, T, size), impossible outside."""
    index = starts[..., None] + torch.arange(values.shape[2], device=values.device)
    whole = values.new_full((*values.shape[:2], size + values.shape[2]), IMPOSSIBLE)
    return whole.scatter(2, index, values)[..., :size]


class _Emissions(torch.autograd.Function):
    """log-softmax of two classes a cell; the logits are read once forward, and once backward."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, frames: list[int], labels: list[int], blank: int
    ) -> tuple[Tensor, Tensor]:
        rows, times, size, classes = logits.shape
        norm = logits.new_zeros((rows, times, size), dtype=torch.float32)
        is_blank = torch.zeros_like(norm)
        is_label = norm.new_zeros(rows, times, size - 1)
        for row, start, end, width in _blocks(frames, labels, classes):
            block = logits[row, start:end, :width].float()
            own = torch.logsumexp(block, -1)
            norm[row, start:end, :width] = own
            is_blank[row, start:end, :width] = block[..., blank] - own
            index = targets[row, : width - 1].expand(end - start, -1)[..., None]
            is_label[row, start:end, : width - 1] = block[:, :-1].gather(2, index)[..., 0] - own[:, :-1]
        ctx.save_for_backward(logits, norm, targets)
        ctx.sizes = frames, labels, blank
        return is_blank, is_label

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_blank: Tensor, by_label: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        logits, norm, targets = ctx.saved_tensors
        frames, labels, blank = ctx.sizes
        grad = torch.zeros_like(logits)
        total = by_blank + F.pad(by_label, (0, 1))
        for row, start, end, width in _blocks(frames, labels, logits.shape[3]):
            block = logits[row, start:end, :width].float() - norm[row, start:end, :width, None]
            block.exp_().mul_(-total[row, start:end, :width, None])
            block[..., blank] += by_blank[row, start:end, :width]
            index = targets[row, : width - 1].expand(end - start, -1)[..., None]
            block[:, :-1].scatter_add_(2, index, by_label[row, start:end, : width - 1, None])
            grad[row, start:end, :width] = block
        return grad, None, None, None, None


def _blocks(frames: list[int], labels: list[int], classes: int) -> list[tuple[int, int, int, int]]:
    """(row, first frame, end frame, label positions) of pieces that hold about `_BLOCK` logits, padding left out."""
    found = []
    for row, (count, said) in enumerate(zip(frames, labels, strict=True)):
        step = max(1, _BLOCK // ((said + 1) * classes))
        found += [(row, start, min(start + step, count), said + 1) for start in range(0, count, step)]
    return found


class _Lattice(torch.autograd.Function):
    """Sums over all paths; the gradient of the loss is minus the probability that a path takes an arc."""

    @staticmethod
    def forward(ctx: Any, blank: Tensor, label: Tensor, frames: Tensor, labels: Tensor) -> Tensor:
        kept = blank.detach().float()
        wide = F.pad(label.detach().float(), (0, 1), value=IMPOSSIBLE)
        rows = torch.arange(len(kept), device=kept.device)
        wants = any(ctx.needs_input_grad[:2])
        down = F.pad(kept[:, :-1], (0, 0, 1, 0), value=IMPOSSIBLE)
        right = F.pad(wide[:, :, :-1], (1, 0), value=IMPOSSIBLE)
        first = torch.zeros(len(kept), device=kept.device)
        if wants:  # the same sums from the other end, as more rows
            turned_blank, turned_label = (_turn(x, frames, labels) for x in (kept, wide))
            first = torch.cat([first, turned_blank[:, 0, 0]])
            turned_blank[:, 0] = IMPOSSIBLE
            down, right = torch.cat([down, turned_blank]), torch.cat([right, turned_label])
        sums = _scan(down, right, first)
        alpha = sums[: len(kept)]
        ends = frames - 1
        total = alpha[rows, ends, labels] + kept[rows, ends, labels]
        if wants:
            beta = _turn(sums[len(kept) :], frames, labels)
            after = F.pad(beta[:, 1:], (0, 0, 0, 1), value=IMPOSSIBLE)  # by blank one gets to the next frame
            after[rows, ends] = IMPOSSIBLE
            after[rows, ends, labels] = 0.0
            beside = F.pad(beta[:, :, 1:], (0, 1), value=IMPOSSIBLE)
            inside = torch.arange(kept.shape[1], device=kept.device)[None] < frames[:, None]
            inside = inside[..., None] & (torch.arange(kept.shape[2], device=kept.device) <= labels[:, None])[:, None]
            alpha = (alpha - total[:, None, None]).masked_fill(~inside, IMPOSSIBLE)
            # A path that goes by blank from the last column or frame of a shorter row does not exist.
            by_blank = (alpha + kept + after).clamp_max(0).exp()
            within = (torch.arange(kept.shape[2], device=kept.device) < labels[:, None])[:, None]
            by_label = (alpha + wide + beside).masked_fill(~within, IMPOSSIBLE).clamp_max(0).exp()
            ctx.save_for_backward(by_blank, by_label[:, :, :-1])
        return -total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_row: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        by_blank, by_label = ctx.saved_tensors
        scale = -by_row[:, None, None]
        return by_blank * scale, by_label * scale, None, None


def _scan(down: Tensor, right: Tensor, first: Tensor) -> Tensor:
    """sum[t, u] = logaddexp(sum[t - 1, u] + down[t, u], sum[t, u - 1] + right[t, u]), sum[0, 0] = first; (R, T, W)."""
    rows, times, size = down.shape
    downs, rights = _skew(down), _skew(right)
    sums = down.new_full((times + size - 1, rows, size + 1), IMPOSSIBLE)  # column 0 is left of the lattice
    sums[0, :, 1] = first
    here, beside = sums[..., 1:].unbind(0), sums[..., :-1].unbind(0)
    below, across = torch.empty_like(down[:, 0]), torch.empty_like(down[:, 0])
    for n in range(1, len(here)):
        torch.add(here[n - 1], downs[n], out=below)
        torch.add(beside[n - 1], rights[n], out=across)
        torch.logaddexp(below, across, out=here[n])
    diagonals = sums[..., 1:].permute(1, 2, 0)  # (R, W, T + W - 1): column u is u late
    flat = F.pad(diagonals.reshape(rows, -1), (0, size))
    return flat.view(rows, size, times + size)[..., :times].transpose(1, 2)


def _skew(x: Tensor) -> tuple[Tensor, ...]:
    """The anti-diagonals of (R, T, W), each (R, W): cell (t, u) is in the one numbered t + u."""
    rows, times, size = x.shape
    padded = F.pad(x.transpose(1, 2), (0, size), value=IMPOSSIBLE).reshape(rows, -1)
    return padded[:, :-size].view(rows, size, times + size - 1).permute(2, 0, 1).contiguous().unbind(0)


def _turn(x: Tensor, frames: Tensor, labels: Tensor) -> Tensor:
    """(B, T, W) with each row's valid frames and label positions in the opposite order; its own inverse there."""
    times, size = x.shape[1:]
    t = (frames[:, None] - 1 - torch.arange(times, device=x.device)) % times
    u = (labels[:, None] - torch.arange(size, device=x.device)) % size
    rows = torch.arange(len(x), device=x.device)[:, None, None]
    return x[rows, t[:, :, None], u[:, None, :]]
