"""The voice's networks in ONNX Runtime, by the graphs of `export.py` and of the codec: the same states as PyTorch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamst.codecs.export import SOUND
from streamst.codecs.neural import DecoderState
from streamst.languages.german.symbols import INDEX
from streamst.models.seam import Pcm
from streamst.nn.convnext import BlockState, StackState
from streamst.nn.graph_session import Arrays, GraphSession
from streamst.nn.source_filter import SynthesisState
from streamst.nn.state import stacked

from .export import FRAMES, TEXT
from .network import CLOSED, FOLLOWED, OPEN, TextState, TtsConfig

CLOSING = frozenset(INDEX[mark] for mark in ".?!")


class GraphText:
    """`TextEncoder.step` of one word a row, rows one by one."""

    def __init__(self, voice: Path, config: TtsConfig) -> None:
        """Errors as `GraphSession`."""
        self._graph, self._config = GraphSession(voice / TEXT), config

    def __call__(self, letters: Tensor, state: TextState) -> tuple[Tensor, Tensor, TextState]:
        """letters: (B, 2, L), no word without a letter."""
        batch, _, longest = letters.shape
        rows = [self._row(pair, state.select([row])) for row, pair in enumerate(letters.numpy())]
        encodings = torch.zeros(batch, 1, longest, self._config.text_dim)
        prosody = torch.zeros(batch, 1, longest, rows[0][0]["prosody"].shape[1])
        for row, (found, _) in enumerate(rows):
            encodings[row, 0, : len(found["encodings"])] = torch.from_numpy(found["encodings"])
            prosody[row, 0, : len(found["prosody"])] = torch.from_numpy(found["prosody"])
        return encodings, prosody, stacked([after for _, after in rows])

    def _row(self, pair: np.ndarray, state: TextState) -> tuple[Arrays, TextState]:
        word, ahead = (one[one > 0] for one in pair)
        kind = FOLLOWED if len(ahead) else CLOSED if word[-1] in CLOSING else OPEN
        found = self._graph.run(
            {
                "word": word, "ahead": ahead if len(ahead) else word[:1], "kind": np.array([kind]),
                "beyond": np.array([min(len(ahead), self._config.letters_after)]),
                "state.context": state.context.numpy(), "state.tail": state.tail[0].numpy(),
            }
        )  # fmt: skip
        context, tail = torch.from_numpy(found["after.context"]), torch.from_numpy(found["after.tail"])[None]
        return found, TextState(context, tail)


class GraphSound:
    """Frames to samples."""

    def __init__(self, voice: Path, codec: Path) -> None:
        """Errors as `GraphSession`."""
        self._frames, self._sound = GraphSession(voice / FRAMES), GraphSession(codec / SOUND)

    def __call__(
        self, planned: Tensor, frames: StackState, decoder: DecoderState
    ) -> tuple[Pcm, StackState, DecoderState]:
        """planned: (1, T, features), T at least 1; the states have one row."""
        heard = self._frames.run({"x": planned[0].numpy(), **_blocks(frames)})
        was = decoder.synthesis
        found = self._sound.run(
            {
                "latents": heard["latents"], **_blocks(decoder.stack), "state.controls": was.controls.numpy(),
                "state.hops": was.hops.int().numpy(), "state.hz": was.hz.numpy(), "state.phase": was.phase.numpy(),
                "state.ringing": was.ringing.numpy(),
            }
        )  # fmt: skip
        hz, phase, hops, controls, ringing = (
            torch.from_numpy(found[f"after.{name}"]) for name in ("hz", "phase", "hops", "controls", "ringing")
        )
        after = DecoderState(_stack(found, decoder.stack), SynthesisState(hz, phase, hops.long(), controls, ringing))
        return found["samples"], _stack(heard, frames), after


def _blocks(state: StackState) -> Arrays:
    return {f"state.block{number}": block.previous[0].numpy() for number, block in enumerate(state.blocks)}


def _stack(found: Arrays, before: StackState) -> StackState:
    kept = (torch.from_numpy(found[f"after.block{number}"])[None] for number in range(len(before.blocks)))
    return StackState(tuple(BlockState(previous) for previous in kept))
