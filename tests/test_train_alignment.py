"""Who translates whom is learned from nothing but pairs."""

import random

import torch

from streamst.text import Tokenizer
from streamst.train.alignment import Alignment

WORDS = 40


def sentences(count: int) -> list[tuple[list[int], list[int]]]:
    """Word n, from 3 on, is translated by WORDS + n; the last two of a sentence change places."""
    draw = random.Random(0)
    found = []
    for _ in range(count):
        source = draw.sample(range(3, WORDS), draw.randint(3, 8))
        target = [WORDS + word for word in source]
        target[-2:] = reversed(target[-2:])
        found.append((source, target))
    return found


def test_each_word_finds_the_one_that_it_translates_alone_and_in_a_batch() -> None:
    alignment = Alignment(2 * WORDS)
    alignment.learn(sentences(400))
    (short, said), (long, told) = ([5, 9, 7], [45, 47, 49]), ([4, 6, 8, 10, 12], [44, 46, 48, 52, 50])
    source = torch.tensor([[Tokenizer.begin, *short, -1, -1], [Tokenizer.begin, *long]])
    target = torch.tensor([[*said, -1, -1], told])
    found = alignment.posterior(source, target)
    assert found[0].argmax(-1)[:3].tolist() == [1, 3, 2]
    assert found[1].argmax(-1).tolist() == [1, 2, 3, 5, 4]
    assert found[0, 3:].abs().sum() == 0
    assert found[0, :, 4:].abs().sum() == 0
    torch.testing.assert_close(found[1].sum(-1), torch.ones(5))
    alone = alignment.posterior(source[:1, :4], target[:1, :3])
    torch.testing.assert_close(alone[0], found[0, :3, :4])


def test_a_beginning_allows_what_it_translates_and_no_more() -> None:
    alignment = Alignment(2 * WORDS)
    alignment.learn(sentences(400))
    source, target = [4, 6, 8, 10, 12], [44, 46, 48, 52, 50]
    assert [alignment.known(source, target, cut) for cut in range(1, 6)] == [1, 2, 3, 3, 5]


def test_what_never_met_is_aligned_with_nothing() -> None:
    alignment = Alignment(2 * WORDS)
    alignment.learn(sentences(50))
    found = alignment.posterior(torch.tensor([[Tokenizer.begin, 5]]), torch.tensor([[WORDS + 1, Tokenizer.end]]))
    assert found.abs().sum() == 0
