"""Words and how they are pronounced, as a tree over labels that a search walks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLANK = 0  # of a CTC or a transducer: the tokenizer's unknown, which text in its alphabet never contains
ROOT = 0
NUMBERS = ("label", "child_start", "children", "word_start", "endings")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Lexicon:
    """A prefix tree in arrays: node n's children are `child_start[n]` to `child_start[n + 1]` of `children`, the words
    that end there `word_start[n]` to `word_start[n + 1]` of `endings`."""

    words: tuple[str, ...]  # by word id
    label: Ints  # (nodes,) label on the edge into the node
    child_start: Ints  # (nodes + 1,)
    children: Ints
    word_start: Ints  # (nodes + 1,)
    endings: Ints  # word ids

    @classmethod
    def build(cls, words: Sequence[str], spellings: Mapping[str, Sequence[Sequence[int]]]) -> Lexicon:
        """words: by id, those without a spelling cannot be found; spellings: label sequences of each word."""
        children: list[dict[int, int]] = [{}]
        labels: list[int] = [0]
        endings: list[list[int]] = [[]]
        for number, word in enumerate(words):
            for spelling in spellings.get(word, ()):
                node = ROOT
                for label in spelling:
                    if label not in children[node]:
                        children[node][label] = len(labels)
                        children.append({})
                        labels.append(label)
                        endings.append([])
                    node = children[node][label]
                if node != ROOT and number not in endings[node]:
                    endings[node].append(number)
        flat = [child for one in children for child in one.values()]
        ends = [word for one in endings for word in one]
        return cls(
            tuple(words), np.array(labels), np.cumsum([0, *map(len, children)]), np.array(flat, np.int64),
            np.cumsum([0, *map(len, endings)]), np.array(ends, np.int64),
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """For a file."""
        numbers = {name: getattr(self, name).astype(np.int32) for name in NUMBERS}
        return {"spelled": np.frombuffer("\n".join(self.words).encode(), np.uint8), **numbers}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Lexicon:
        """The inverse of `arrays`."""
        words = arrays["spelled"].tobytes().decode().split("\n")
        return cls(tuple(words), **{name: arrays[name].astype(np.int64) for name in NUMBERS})

    def best_below(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """(nodes,) the highest of `scores` (by word id) among the words at or below each node."""
        best = np.full(len(self.label), -np.inf, np.float32)
        counts = np.diff(self.word_start)
        np.maximum.at(best, np.repeat(np.arange(len(counts)), counts), scores[self.endings])
        parent = np.zeros(len(self.label), np.int64)
        parent[self.children] = np.repeat(np.arange(len(self.label)), np.diff(self.child_start))
        depth = np.zeros(len(self.label), np.int64)
        for node in range(1, len(depth)):  # children have higher numbers than their parents
            depth[node] = depth[parent[node]] + 1
        for level in range(int(depth.max()), 0, -1):
            nodes = np.flatnonzero(depth == level)
            np.maximum.at(best, parent[nodes], best[nodes])
        return best
