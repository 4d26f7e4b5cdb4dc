"""Entropy coding of the neural codec's codes: a small causal network says how likely each code is, a range coder spends
as many bits as that deserves.

Sender and receiver must agree on every probability to the last bit, on any machine. So weights and activations are
8-bit integers; sums stay below 2**24, where float32 adds integers exactly in any order; the exponential is a table in
the file. The range coder (Martin 1979) keeps its low end as one Python integer, so that carries need no care.

For codebook q of frame t the network sees the codes of frame t - 1 and codes 0 .. q - 1 of frame t (8 numbers each,
and whether there is a frame t - 1): a hidden layer, then a score for each code. A packet's first frame has no frame
before it, so a lost packet spoils no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from streamst.codecs.bitstream import Codes
from streamst.errors import CheckpointError, InputError

INPUT_SCALE, FIRST_SCALE, HIDDEN_SCALE, SECOND_SCALE = 16, 64, 16, 32  # integers a unit
HIDDEN_SHIFT = 6  # FIRST_SCALE * INPUT_SCALE / HIDDEN_SCALE = 2**6
SCORE_STEP = 8  # scores count 1 / 512 nat, the table 1 / 64
TABLE_BITS = 16
BOTTOM = 1 << 32  # the coder's range stays above this

Ints = NDArray[np.float32]  # integers, held as float32 for the matrix products


@dataclass(frozen=True)
class EntropyWeights:
    """The integer network; K codebooks of N codes, embeddings of E numbers, H hidden units."""

    embedding: NDArray[np.int8]  # (K, N, E)
    first: NDArray[np.int8]  # (K, 2 * K * E + 1, H)
    first_bias: NDArray[np.int32]  # (K, H)
    second: NDArray[np.int8]  # (K, H, N)
    second_bias: NDArray[np.int32]  # (K, N)
    table: NDArray[np.int32]  # (entries,) 2**16 * exp(-i / 64), at least 1


class EntropyModel:
    """The `EntropyCoder` of trained weights."""

    def __init__(self, weights: EntropyWeights, number: int = 0) -> None:
        self.weights, self.number = weights, number
        self.codebooks, self.size, self.width = weights.embedding.shape
        self._embedding = weights.embedding.astype(np.float32)
        self._first, self._first_bias = weights.first.astype(np.float32), weights.first_bias.astype(np.float32)
        self._second, self._second_bias = weights.second.astype(np.float32), weights.second_bias.astype(np.float32)
        self._table = weights.table.astype(np.int64)

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a safetensors file; its number is the check sum of the weights modulo 256. CheckpointError otherwise."""
        try:
            weights = EntropyWeights(**load_file(path))
        except (OSError, TypeError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{path} is not an entropy model: {error}") from error
        return cls(weights, int(weights.second.astype(np.int64).sum()) % 256)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        save_file({name: np.ascontiguousarray(value) for name, value in vars(self.weights).items()}, path)

    def encode(self, codes: Codes) -> bytes:
        """codes (frames, codebooks), coded; InputError for more codebooks than the model knows."""
        self._check(codes.shape[1])
        coder = _RangeEncoder()
        before: Ints | None = None
        for frame in codes:
            x = self._start(before)
            for number, code in enumerate(frame):
                cumulative = self._cumulative(x, number)
                coder.put(int(cumulative[code]), int(cumulative[code + 1]), int(cumulative[-1]))
                self._enter(x, number, int(code))
            before = x
        return coder.finish()

    def decode(self, data: bytes, frames: int, codebooks: int) -> Codes:
        """The inverse of `encode`; InputError for what it did not make."""
        self._check(codebooks)
        coder = _RangeDecoder(data)
        codes = np.zeros((frames, codebooks), np.int64)
        before: Ints | None = None
        for frame in codes:
            x = self._start(before)
            for number in range(codebooks):
                cumulative = self._cumulative(x, number)
                code = int(np.searchsorted(cumulative, coder.place(int(cumulative[-1])), side="right")) - 1
                coder.take(int(cumulative[code]), int(cumulative[code + 1]))
                frame[number] = code
                self._enter(x, number, code)
            before = x
        if coder.unread():
            raise InputError("codec packet has bytes after its last entropy-coded code")
        return codes

    def _check(self, codebooks: int) -> None:
        if codebooks > self.codebooks:
            raise InputError(f"{codebooks} codebooks; this entropy model has {self.codebooks}")

    def _start(self, before: Ints | None) -> Ints:
        """Input of a frame: the codes before, this frame's (still empty), and whether there is a frame before."""
        half = self.codebooks * self.width
        x = np.zeros(2 * half + 1, np.float32)
        if before is not None:
            x[:half], x[-1] = before[half:-1], INPUT_SCALE
        return x

    def _enter(self, x: Ints, number: int, code: int) -> None:
        at = (self.codebooks + number) * self.width
        x[at : at + self.width] = self._embedding[number, code]

    def _cumulative(self, x: Ints, number: int) -> NDArray[np.int64]:
        """0 and the running sums of all codes' weights (N + 1,)."""
        hidden = x @ self._first[number] + self._first_bias[number]
        hidden = np.clip(np.floor_divide(hidden, 1 << HIDDEN_SHIFT), 0, 127)
        scores = hidden @ self._second[number] + self._second_bias[number]
        steps = np.floor_divide(scores.max() - scores, SCORE_STEP).astype(np.int64)
        out = np.zeros(self.size + 1, np.int64)
        np.cumsum(self._table[np.minimum(steps, len(self._table) - 1)], out=out[1:])
        return out


class _RangeEncoder:
    def __init__(self) -> None:
        self._low, self._range, self._bytes = 0, 1 << 40, 5

    def put(self, start: int, end: int, total: int) -> None:
        part = self._range // total
        self._low += part * start
        self._range = part * (end - start)
        while self._range < BOTTOM:
            self._low, self._range, self._bytes = self._low << 8, self._range << 8, self._bytes + 1

    def finish(self) -> bytes:
        """The shortest string that, followed by zeros, lies in the range."""
        for cut in range(8 * self._bytes, -1, -8):
            value = (self._low + (1 << cut) - 1) >> cut << cut
            if value < self._low + self._range:
                return value.to_bytes(self._bytes, "big")[: self._bytes - cut // 8].rstrip(b"\0")
        raise AssertionError("the low end itself lies in the range")


class _RangeDecoder:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 5
        self._above = int.from_bytes(data[:5].ljust(5, b"\0"), "big")
        self._range, self._part = 1 << 40, 1

    def place(self, total: int) -> int:
        self._part = self._range // total
        return min(self._above // self._part, total - 1)

    def take(self, start: int, end: int) -> None:
        self._above -= self._part * start
        self._range = self._part * (end - start)
        while self._range < BOTTOM:
            following = self._data[self._at] if self._at < len(self._data) else 0
            self._above, self._range, self._at = self._above << 8 | following, self._range << 8, self._at + 1

    def unread(self) -> bool:
        return self._at < len(self._data)
