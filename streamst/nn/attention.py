"""Chunk-wise self-attention: the mask of training is the cache of inference.

A query sees its whole chunk and `left` frames before that chunk. In training that is a mask over the whole utterance;
in a stream it is a cache of exactly `left` keys and values beside the chunk's own, so the two are equal for every chunk
and left context, however old the stream is. Positions enter only as a learned bias of the clipped distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.nn.state import State


@dataclass(frozen=True)
class AttentionState(State):
    """keys, values: (B, left, H, D / H), right-aligned; length: (B,) how many of them are real."""

    keys: Tensor
    values: Tensor
    length: Tensor


class ChunkAttention(nn.Module):
    """Multi-head self-attention over (B, T, D). In a `causal` one a step's queries see no later key of their chunk."""

    def __init__(self, dim: int, heads: int, max_distance: int, causal: bool = False) -> None:
        super().__init__()
        self.dim, self.heads, self.max_distance, self.causal = dim, heads, max_distance, causal
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * max_distance + 1))  # by clipped key - query distance

    def init_state(
        self, batch: int, left: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> AttentionState:
        """An empty cache for `left` frames."""
        empty = torch.zeros(batch, left, self.heads, self.dim // self.heads, device=device, dtype=dtype)
        return AttentionState(empty, empty, torch.zeros(batch, dtype=torch.long, device=device))

    def step(
        self, x: Tensor, state: AttentionState, real: Tensor | None = None, grow: bool = False
    ) -> tuple[Tensor, AttentionState]:
        """x: (B, T, D), one chunk.

        real: (B,) how many of the chunk's last frames are real where rows differ, from a fresh state only.
        grow: keep every key, in place of the last `left`.
        """
        frames = x.shape[1]
        left = state.keys.shape[1]
        query, key, value = self._heads(x)
        keys = torch.cat([state.keys.to(x.dtype), key], 1)
        values = torch.cat([state.values.to(x.dtype), value], 1)
        length = state.length + (frames if real is None else real)
        position = torch.arange(left + frames, device=x.device)
        hidden = (position < left + frames - length[:, None])[:, None]  # (B, 1, left + T)
        if self.causal:
            hidden = hidden | (position[None] > position[left:, None])
        if real is not None:  # what is not real sees itself: no row of the softmax may be empty
            hidden = hidden & (position[None] != position[left:, None])
        mask = self._distance_bias(position[left:], position).masked_fill(hidden[:, None], float("-inf"))
        y = self._attend(query, keys, values, mask)
        if grow:
            return y, AttentionState(keys, values, length)
        return y, AttentionState(keys[:, frames:], values[:, frames:], torch.clamp(length, max=left))

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """x: (B, T, D); visible: (B or 1, T, T) True where query i may see key j."""
        query, key, value = self._heads(x)
        position = torch.arange(x.shape[1], device=x.device)
        mask = self._distance_bias(position, position).masked_fill(~visible[:, None], float("-inf"))
        return self._attend(query, key, value, mask)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        split = self.project(x).unflatten(-1, (3, self.heads, self.dim // self.heads))
        return split[:, :, 0], split[:, :, 1], split[:, :, 2]

    def _distance_bias(self, queries: Tensor, keys: Tensor) -> Tensor:
        distance = (keys[None, :] - queries[:, None]).clamp(-self.max_distance, self.max_distance)
        return self.bias[:, distance + self.max_distance][None]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (t.transpose(1, 2) for t in (query, key, value))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
        return self.out(y.transpose(1, 2).flatten(2))


def chunk_mask(frames: int, chunk: int | Sequence[int], left: int, device: torch.device | str = "cpu") -> Tensor:
    """(T, T) True where query i may see key j: the whole of i's chunk and `left` frames before that chunk.

    chunk: frames of every chunk, or of one chunk after the other, which is adaptive lookahead: a frame sees as far
    ahead as its own chunk goes on, and the last size holds for the rest. chunk or left < 0 means all.
    Raises ValueError for a chunk of 0 frames, or none at all.
    """
    position = torch.arange(frames, device=device)
    sizes = [chunk] if isinstance(chunk, int) else list(chunk)
    if not sizes or 0 in sizes:
        raise ValueError(f"chunks of {sizes} frames: use 1 or more, or -1 for all")
    if sizes == [-1] or min(sizes) < 0:
        if len(sizes) > 1:
            raise ValueError(f"chunks of {sizes} frames: -1, all, stands alone")
        return torch.ones(frames, frames, dtype=torch.bool, device=device)
    missing = max(0, frames - sum(sizes))
    sizes += [sizes[-1]] * -(-missing // sizes[-1])
    size = torch.tensor(sizes, device=device)
    end = size.cumsum(0).repeat_interleave(size)[:frames]
    start = end - size.repeat_interleave(size)[:frames]
    visible = position[None, :] < end[:, None]
    if left >= 0:
        visible &= position[None, :] >= (start - left)[:, None]
    return visible
