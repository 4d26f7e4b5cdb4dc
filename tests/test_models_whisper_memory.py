"""The memory of an ear: what stays is written once, and who goes on from an older one is not disturbed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.models.whisper.memory import STEP, Memory


def frames(count: int, seed: int) -> torch.Tensor:
    return torch.randn(4, 2, count, 3, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=30)
@given(steps=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 160)), min_size=1, max_size=12))
def test_a_memory_is_what_was_kept_and_what_is_new_however_far_it_grows(steps: list[tuple[int, int]]) -> None:
    memory, wanted, silence = Memory.nothing(4, 2, 3), frames(0, 0), frames(130, 1)
    for number, (again, new) in enumerate(steps):
        kept = max(memory.settled, len(memory) - again)
        piece = frames(new, 2 + number)
        memory, wanted = memory.grown(kept, piece), torch.cat([wanted[:, :, :kept], piece], 2)
        assert len(memory) == wanted.shape[2]
        assert torch.equal(memory.whole(silence), torch.cat([wanted, silence], 2))


def test_two_who_go_on_from_one_memory_do_not_write_over_each_other() -> None:
    first = Memory.nothing(4, 2, 3).grown(0, frames(20, 1))
    base = first.grown(20, frames(20, 2))
    one, other = base.grown(40, frames(20, 3)), base.grown(30, frames(30, 4))
    nothing, silence = frames(0, 0), frames(9, 5)
    for memory, parts in ((one, (1, 2, 3)), (base, (1, 2)), (other, (1, 2, 4)), (first, (1,)), (one, (1, 2, 3))):
        wanted = torch.cat([frames(30 if seed == 4 else 20, seed) for seed in parts], 2)
        wanted = torch.cat([wanted[:, :, :30], frames(30, 4)], 2) if memory is other else wanted
        assert torch.equal(memory.whole(nothing), wanted)
        memory.whole(silence)
    assert torch.equal(other.whole(silence)[:, :, -9:], silence)


def test_what_stays_is_not_written_again() -> None:
    memory = Memory.nothing(4, 2, 3).grown(0, frames(20, 1))
    before = memory.whole(frames(130, 2)).data_ptr()
    for number in range(5):
        memory = memory.grown(len(memory), frames(10, number))
        assert memory.whole(frames(STEP - 150, 3)).data_ptr() == before


def test_what_stays_can_no_longer_go() -> None:
    memory = Memory.nothing(4, 2, 3).grown(0, frames(20, 1)).grown(15, frames(5, 2))
    for kept in (14, 21):
        with pytest.raises(ValueError, match=f"{kept} frames of 20 cannot stay; 15 do already"):
            memory.grown(kept, frames(1, 3))
