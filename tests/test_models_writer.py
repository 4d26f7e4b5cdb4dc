"""Greedy decoding step by step is the teacher-forced network, and a committed prefix is kept."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamst.errors import ConfigError
from streamst.models.write.beam import search
from streamst.models.write.decoding import TensorDecoder
from streamst.models.write.greedy import Continuation, Draft, write
from streamst.models.write.lexicon import FLOOR
from streamst.models.write.network import Writer, WriterConfig
from streamst.text import Tokenizer

CONFIG = WriterConfig(
    source_tokens=20, target_tokens=30, dim=16, heads=2, memory_layers=1, decoder_layers=2, max_distance=4
)


SHARED = {"positions": True, "shared": True, "source_tokens": 30}


@pytest.fixture(params=[{}, {"positions": True}, SHARED], ids=str)
def writer(request: pytest.FixtureRequest) -> Writer:
    torch.manual_seed(2)
    model = Writer(replace(CONFIG, **request.param)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def searched(
    how: Callable[..., list[Continuation]],
    model: Writer,
    memory: torch.Tensor,
    hidden: torch.Tensor,
    drafts: list[Draft],
) -> list[Continuation]:
    return how(TensorDecoder(model), model.begin(memory, hidden), drafts)


def memory_of(model: Writer, tokens: list[int]) -> torch.Tensor:
    ids = torch.tensor([tokens])
    return model.memory(ids, torch.zeros_like(ids, dtype=torch.bool))


@torch.no_grad()
def test_greedy_steps_equal_the_argmax_of_the_teacher_forced_network(writer: Writer) -> None:
    memory = memory_of(writer, [1, 5, 9, 7, 2])
    found = writer.greedy(memory, [4, 8], limit=12)
    inputs = torch.tensor([[1, 4, 8, *found.tokens]])
    logits, alignment = writer(memory, torch.zeros(1, 5, dtype=torch.bool), inputs)
    for position, token in enumerate(found.tokens):
        scores = logits[0, 2 + position].log_softmax(-1)
        assert int(scores[2:].argmax()) + 2 == token
        assert float(scores[token]) == pytest.approx(found.log_probs[position], abs=1e-4)
        assert np.allclose(alignment[0, 2 + position], found.attention[position], atol=1e-5)
    assert found.tokens


@torch.no_grad()
def test_continuing_a_greedy_prefix_gives_the_same_sentence(writer: Writer) -> None:
    memory = memory_of(writer, [1, 3, 3, 11, 2])
    whole = writer.greedy(memory, [], limit=10).tokens
    for cut in range(len(whole) + 1):
        assert (*whole[:cut], *writer.greedy(memory, whole[:cut], limit=10 - cut).tokens) == whole


@torch.no_grad()
def test_what_may_follow_the_prefix_is_kept_to(writer: Writer) -> None:
    memory = memory_of(writer, [1, 5, 9, 7, 2])
    free = writer.greedy(memory, [4, 8], limit=5).tokens
    first = np.ones(30, np.bool_)
    first[free[0]] = False
    kept = writer.greedy(memory, [4, 8], limit=5, first=first)
    assert not kept.tokens or kept.tokens[0] != free[0]


@torch.no_grad()
def test_padding_of_the_memory_changes_nothing(writer: Writer) -> None:
    tokens = torch.tensor([[1, 5, 9, 2, 0, 0]])
    hidden = torch.tensor([[False] * 4 + [True] * 2])
    inputs = torch.tensor([[1, 6, 7]])
    padded, _ = writer(writer.memory(tokens, hidden), hidden, inputs)
    alone, _ = writer(memory_of(writer, [1, 5, 9, 2]), torch.zeros(1, 4, dtype=torch.bool), inputs)
    assert torch.allclose(padded, alone, atol=1e-5)


@torch.no_grad()
def test_a_loop_ends_the_sentence(writer: Writer) -> None:
    writer.target.weight.zero_()
    writer.target.weight[7] = 10 * writer.norm.bias.sign()
    writer.norm.weight.zero_()
    found = writer.greedy(memory_of(writer, [1, 2]), [], limit=100)
    assert found.finished
    assert len(found.tokens) < 9


@torch.no_grad()
def test_a_prompt_is_a_task_and_the_first_is_the_default() -> None:
    torch.manual_seed(4)
    model = Writer(WriterConfig(**{**CONFIG.__dict__, "prompts": ("st:de", "asr:en")})).eval()
    model.prompt.weight.mul_(20)  # type: ignore[union-attr]
    memory, hidden = memory_of(model, [1, 5, 9, 2]), torch.zeros(1, 4, dtype=torch.bool)
    inputs = torch.tensor([[1, 6, 7]])
    default, first, second = (
        model(memory, hidden, inputs, prompts)[0] for prompts in (None, torch.tensor([0]), torch.tensor([1]))
    )
    assert torch.equal(default, first)
    assert not torch.allclose(first, second, atol=1e-2)
    number = model.prompt_number("asr:en")
    written = model.greedy(memory, [6, 7], limit=1, prompt=number)
    scores = second[0, 2].log_softmax(-1)[2:]
    assert [int(scores.argmax()) + 2] == list(written.tokens or (2,))
    with pytest.raises(ConfigError, match=r"'st:fr'.*st:de, asr:en"):
        model.prompt_number("st:fr")


@torch.no_grad()
def test_a_writer_without_prompts_has_no_weights_for_them(writer: Writer) -> None:
    assert not [name for name in writer.state_dict() if name.startswith("prompt")]
    assert writer.prompt_number("st:anything") == 0


@pytest.fixture
def counted() -> Writer:
    """A writer with a lexicon: token n is translated by n + 10, or by n + 11 a third as often."""
    torch.manual_seed(2)
    model = Writer(replace(CONFIG, **SHARED, lexicon=2)).eval()
    assert model.lexicon is not None
    table = torch.zeros(30, 30)
    for token in range(3, 18):
        table[token, token + 10], table[token, token + 11] = 0.75, 0.25
    model.lexicon.fill(table)
    return model


@torch.no_grad()
def test_the_lexicon_adds_the_translations_of_what_is_read(counted: Writer) -> None:
    lexicon = counted.lexicon
    assert lexicon is not None
    sentences = torch.tensor([[5, Tokenizer.end, 7], [6, 5, 0]])
    tokens, shares = lexicon.spread(sentences)
    attention = torch.tensor([[[0.7, 0.2, 0.1]], [[0.6, 0.4, 0.0]]])
    bias = lexicon(attention, shares)[:, 0]
    weight = float(lexicon.weight)
    right = ({Tokenizer.end: 0.2, 15: 0.525, 16: 0.175, 17: 0.075, 18: 0.025}, {15: 0.3, 16: 0.1 + 0.45, 17: 0.15})
    for row, known in enumerate(right):
        found = dict.fromkeys(range(30), 0.0)
        for token, more in zip(tokens[row].tolist(), bias[row].tolist(), strict=True):
            found[token] += more
        for token, more in found.items():
            whole = weight * (math.log(known.get(token, 0.0) + FLOOR) - math.log(FLOOR))
            assert more == pytest.approx(whole, rel=1e-5, abs=1e-6)


@torch.no_grad()
def test_with_a_lexicon_greedy_steps_are_the_teacher_forced_network_alone_and_in_a_batch(counted: Writer) -> None:
    assert counted.lexicon is not None
    counted.lexicon.weight.fill_(1.0)
    rows = [[1, 5, 9, 7, 2], [1, 4, 6]]
    tokens = torch.tensor([rows[0], [*rows[1], 2, 2]])
    hidden = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    drafts = [Draft([14, 18], 12, lexical=counted.lexical(one)) for one in tokens.tolist()]
    together = searched(write, counted, counted.memory(tokens, hidden), hidden, drafts)
    for row, draft, found in zip(rows, drafts, together, strict=True):
        ids, none = torch.tensor([row]), torch.zeros(1, len(row), dtype=torch.bool)
        memory = counted.memory(ids, none)
        alone = searched(write, counted, memory, none, [replace(draft, lexical=counted.lexical(row))])[0]
        assert alone.tokens == found.tokens
        assert set(found.tokens) <= {token + more for token in row for more in (10, 11)}
        inputs = torch.tensor([[1, 14, 18, *alone.tokens]])
        logits, alignment = counted(memory, none, inputs)
        logits = counted.lexicon.added(logits, alignment, ids)
        for position, token in enumerate(alone.tokens):
            scores = logits[0, 2 + position].log_softmax(-1)
            assert int(scores[2:].argmax()) + 2 == token
            assert float(scores[token]) == pytest.approx(alone.log_probs[position], abs=1e-4)


def test_a_lexicon_is_of_one_vocabulary() -> None:
    with pytest.raises(ConfigError, match="lexicon 2; allowed: 0, or more with shared = true"):
        Writer(replace(CONFIG, lexicon=2))


@torch.no_grad()
def test_a_beam_finds_what_is_at_least_as_probable_alone_and_in_a_batch(writer: Writer) -> None:
    rows = [[1, 5, 9, 7, 2], [1, 4, 6], [1, 3, 3, 11, 8]]
    wide = max(map(len, rows))
    tokens = torch.tensor([row + [2] * (wide - len(row)) for row in rows])
    hidden = torch.tensor([[place >= len(row) for place in range(wide)] for row in rows])
    drafts = [Draft([4, 8], 6, beams=4), Draft([], 9, beams=3), Draft([7], 5)]
    together = searched(search, writer, writer.memory(tokens, hidden), hidden, drafts)
    for row, draft, found in zip(rows, drafts, together, strict=True):
        memory, none = memory_of(writer, row), torch.zeros(1, len(row), dtype=torch.bool)
        (alone,) = searched(search, writer, memory, none, [draft])
        assert alone.tokens == found.tokens
        assert alone.log_probs == pytest.approx(found.log_probs, abs=1e-4)
        assert len(alone.tokens) <= draft.limit
        assert alone.attention.shape == (len(alone.tokens), len(row))
        logits, alignment = writer(memory, none, torch.tensor([[1, *draft.prefix, *alone.tokens]]))
        for position, token in enumerate(alone.tokens):
            place = len(draft.prefix) + position
            assert float(logits[0, place].log_softmax(-1)[token]) == pytest.approx(alone.log_probs[position], abs=1e-4)
            assert np.allclose(alignment[0, place], alone.attention[position], atol=1e-5)


@torch.no_grad()
def test_a_beam_of_one_is_greedy(writer: Writer) -> None:
    for row in ([1, 5, 9, 7, 2], [1, 4, 6], [1, 12, 13, 14, 15]):
        memory, none = memory_of(writer, row), torch.zeros(1, len(row), dtype=torch.bool)
        for draft in (Draft([4], 4), Draft([], 0), Draft([9, 9], 3)):
            greedy, beam = (
                searched(write, writer, memory, none, [draft])[0],
                searched(search, writer, memory, none, [draft])[0],
            )
            assert beam.tokens == greedy.tokens
