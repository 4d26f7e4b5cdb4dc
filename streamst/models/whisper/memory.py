"""Keys and values of an utterance's frames in a block that grows: what stays is written once, and never copied.

The last frames may still change (they are encoded once more) and lie apart. Who reads has them, and silence, written
behind what stays. A block belongs to the memory that grew last: who goes on from an older one gets a copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEP = 256  # frames by which a block grows


@dataclass
class _Block:
    """held: (2 * layers, H, capacity, D / H); owner: who may write into it."""

    held: Tensor
    owner: object


@dataclass(frozen=True, eq=False)
class Memory:
    """The first `settled` frames stand in the block, those of `open` (2 * layers, H, T, D / H) follow."""

    block: _Block
    settled: int
    open: Tensor
    stamp: object

    @classmethod
    def nothing(cls, parts: int, heads: int, size: int, device: torch.device | str = "cpu") -> Memory:
        """Of no frames; parts: keys and values of each layer; size: of a head."""
        empty, stamp = torch.zeros(parts, heads, 0, size, device=device), object()
        return cls(_Block(empty, stamp), 0, empty, stamp)

    def __len__(self) -> int:
        return self.settled + self.open.shape[2]

    def grown(self, kept: int, new: Tensor) -> Memory:
        """The first `kept` frames, which stay from now on, and `new` ones after them."""
        if not self.settled <= kept <= len(self):
            raise ValueError(f"{kept} frames of {len(self)} cannot stay; {self.settled} do already")
        block, stamp = self._own(kept), object()
        block.held[:, :, self.settled : kept] = self.open[:, :, : kept - self.settled]
        block.owner = stamp
        return Memory(block, kept, new, stamp)

    def whole(self, after: Tensor) -> Tensor:
        """(2 * layers, H, T, D / H) of all frames, and `after` behind them; valid until the memory grows."""
        end, total = len(self), len(self) + after.shape[2]
        block = self._own(total)
        if self.block.owner is self.stamp and block is not self.block:
            self.block.held = block.held
        block.held[:, :, self.settled : end] = self.open
        block.held[:, :, end:total] = after
        return block.held[:, :, :total]

    def _own(self, frames: int) -> _Block:
        """A block with room for so many frames, which has the settled ones and may be written into."""
        held = self.block.held
        if self.block.owner is self.stamp and frames <= held.shape[2]:
            return self.block
        grown = held.new_empty(*held.shape[:2], -(-frames // STEP) * STEP, held.shape[3])
        grown[:, :, : self.settled] = held[:, :, : self.settled]
        return _Block(grown, self.stamp)
