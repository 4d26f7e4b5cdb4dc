"""Optional heads of a translator: transducers, target CTC and TAED. A checkpoint without them loads and works alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.transducer import Emission, Transducer, TransducerConfig, TransducerState
from streamst.models.write.taed import Taed, TaedConfig
from streamst.policies.base import Need

QUIET_FRAMES = 25  # encoder states kept of a segment in which no word was heard yet
QUIET_DRAFT = 4  # draft tokens kept of one


@dataclass(frozen=True)
class DraftConfig:
    """Target CTC on top of the encoder: a counter for policies and a draft that costs next to nothing."""

    labels: int = 1000  # target tokens, blank (0) included
    state_dim: int = 192  # of the encoder


@dataclass(frozen=True)
class HeadsConfig:
    """Which heads there are."""

    captions: TransducerConfig | None = None  # source tokens: what is heard comes from it, not from the source CTC
    draft: DraftConfig | None = None
    transducer: TransducerConfig | None = None  # target tokens, for the policy "transducer"
    taed: TaedConfig | None = None  # for the policies "taed" and "monotonic"


@dataclass(frozen=True)
class HeadsState:
    """What the heads of one stream have come to; plain values, but for the states."""

    states: Tensor  # (frames, D) of the segment, where a head reads them again
    context: tuple[int, ...] = ()  # last source labels of the segment
    draft: tuple[int, ...] = ()  # collapsed target CTC of the segment
    draft_frames: tuple[int, ...] = ()  # where each of them began, counted from the stream's start
    draft_last: int = BLANK  # the last frame's best label


class Heads(nn.Module):
    """The heads of a translator, each None where the config has none."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        self.captions = None if config.captions is None else Transducer(config.captions)
        self.draft = None if config.draft is None else nn.Linear(config.draft.state_dim, config.draft.labels)
        self.transducer = None if config.transducer is None else Transducer(config.transducer)
        self.taed = None if config.taed is None else Taed(config.taed)

    @property
    def provides(self) -> frozenset[Need]:
        """What policies get from the heads that are there."""
        found: set[Need] = set()
        if self.draft is not None:
            found.add("target-ctc")
        if self.transducer is not None:
            found.add("transducer")
        if self.taed is not None:
            found |= {"taed", "write-probability"}
        return frozenset(found)

    def init_state(self, dim: int, device: torch.device | str = "cpu") -> HeadsState:
        """A fresh stream of an encoder with states of `dim`."""
        return HeadsState(torch.zeros(0, dim, device=device))

    def heard(self, states: Tensor, state: HeadsState, offset: int) -> tuple[list[Emission], HeadsState]:
        """Take the next frames (T, D), the first of which is number `offset` of the stream.

        Returns the source labels that the captions head emitted, by frames of the stream.
        """
        emitted: list[Emission] = []
        if self.captions is not None:
            context = self.captions.init_state(1, states.device)
            if state.context:
                context = TransducerState(torch.tensor([state.context], device=states.device))
            found, context = self.captions.greedy(states[None], context)
            emitted = [replace(e, frame=e.frame + offset) for e in found[0]]
            state = replace(state, context=tuple(context.context[0].tolist()))
        if self.draft is not None:
            best = self.draft(states).argmax(-1).tolist()
            labels, frames, last = list(state.draft), list(state.draft_frames), state.draft_last
            for number, label in enumerate(best, offset):
                if label not in (BLANK, last):
                    labels.append(label)
                    frames.append(number)
                last = label
            state = replace(state, draft=tuple(labels), draft_frames=tuple(frames), draft_last=last)
        if self.transducer is not None:
            state = replace(state, states=torch.cat([state.states, states]))
        return emitted, state

    def quiet(self, state: HeadsState) -> HeadsState:
        """Keep little of a segment in which no word was heard yet."""
        return replace(
            state,
            states=state.states[-QUIET_FRAMES:].clone(),
            draft=state.draft[-QUIET_DRAFT:],
            draft_frames=state.draft_frames[-QUIET_DRAFT:],
        )

    def next_segment(self, state: HeadsState) -> HeadsState:
        """Forget the segment."""
        return HeadsState(state.states[:0], draft_last=state.draft_last)

    def forget(self, state: HeadsState, frames: int, tokens: int) -> HeadsState:
        """Keep the newest `frames`; `tokens`: how many target tokens were forgotten."""
        return replace(
            state,
            states=state.states[max(0, len(state.states) - frames) :].clone(),
            draft=state.draft[tokens:],
            draft_frames=state.draft_frames[tokens:],
        )

    def lattice(self, state: HeadsState, frames: int, blank_penalty: float) -> list[Emission]:
        """All target labels of the segment by the transducer, by frames of the stream, of which `frames` were heard.

        Greedy labels of earlier frames stay when frames are added. The segment is read in small pieces, since each
        label costs a joiner over the rest of its piece.
        """
        if self.transducer is None:
            raise TypeError("this translator has no transducer head")
        emitted: list[Emission] = []
        context = self.transducer.init_state(1, state.states.device)
        offset = frames - len(state.states)
        for piece in state.states.split(8):
            found, context = self.transducer.greedy(piece[None], context, blank_penalty=blank_penalty)
            emitted += [replace(e, frame=e.frame + offset) for e in found[0]]
            offset += len(piece)
        return emitted


def drafted(state: HeadsState, prefix: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The draft's tokens beyond as many as `prefix` has, and their frames."""
    return state.draft[len(prefix) :], state.draft_frames[len(prefix) :]
