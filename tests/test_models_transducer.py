"""Greedy label looping is the frame-by-frame search, for every cut into chunks, batched and alone."""

import itertools

import pytest
import torch
from torch import Tensor

from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.transducer import Transducer, TransducerConfig
from streamst.train.rnnt import rnnt_loss

CONFIG = TransducerConfig(labels=9, state_dim=6, dim=8, joiner=12)


def head(symbols_per_frame: int = 3, context: int = 2) -> Transducer:
    torch.manual_seed(3)
    config = TransducerConfig(**{**CONFIG.__dict__, "symbols_per_frame": symbols_per_frame, "context": context})
    model = Transducer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
        model.frame.weight.mul_(6)
        model.out.bias[BLANK] += 0.5
    return model


@torch.no_grad()
def frame_by_frame(model: Transducer, states: Tensor, penalty: float = 0.0) -> list[tuple[int, int]]:
    """The search as the papers write it: one joiner call a label or blank."""
    said, found = [BLANK] * model.config.context, []
    for number, state in enumerate(states):
        for _ in range(model.config.symbols_per_frame):
            context = torch.tensor(said[-model.config.context :])
            logits = model.join(model.frame(state), model.predict(context))
            logits[BLANK] -= penalty
            label = int(logits.argmax())
            if label == BLANK:
                break
            said.append(label)
            found.append((label, number))
    return found


@pytest.mark.parametrize("symbols", [1, 2, 5])
@pytest.mark.parametrize("penalty", [0.0, 1.5, -2.0])
def test_label_looping_equals_the_search_frame_by_frame(symbols: int, penalty: float) -> None:
    model = head(symbols)
    states = torch.randn(4, 30, 6)
    counts = torch.tensor([30, 17, 0, 5])
    found, state = model.greedy(states, model.init_state(4), counts, penalty)
    for row, count in enumerate(counts.tolist()):
        expected = frame_by_frame(model, states[row, :count], penalty)
        assert [(e.label, e.frame) for e in found[row]] == expected
        labels = [BLANK, BLANK, *(label for label, _ in expected)]
        assert state.context[row].tolist() == labels[-2:]
    assert sum(map(len, found)) > 5


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_chunks_of_any_size_say_the_same(chunk: int) -> None:
    model = head()
    states = torch.randn(2, 29, 6)
    whole, last = model.greedy(states, model.init_state(2))
    state, labels = model.init_state(2), [[], []]
    for start in range(0, 29, chunk):
        part, state = model.greedy(states[:, start : start + chunk], state)
        for row in range(2):
            labels[row] += [(e.label, e.frame + start) for e in part[row]]
    assert labels == [[(e.label, e.frame) for e in row] for row in whole]
    assert torch.equal(state.context, last.context)


def test_rows_may_be_gathered_scattered_and_made_fresh() -> None:
    model = head()
    states = torch.randn(2, 12, 6)
    _, pool = model.greedy(states, model.init_state(2))
    apart = pool.select([1])
    _, moved = model.greedy(states[:1], apart)
    pool = pool.assign([1], moved).reset([0])
    assert torch.equal(pool.context[:1], model.init_state(1).context)
    assert torch.equal(pool.context[1:], moved.context)


def test_the_lattice_s_logits_are_those_of_the_search() -> None:
    model = head(context=3)
    states, targets = torch.randn(1, 4, 6), torch.tensor([[5, 2]])
    logits = model(states, targets)
    for t, u in itertools.product(range(4), range(3)):
        context = torch.tensor([0, 0, 0, 5, 2][u : u + 3])
        assert torch.allclose(logits[0, t, u], model.join(model.frame(states[0, t]), model.predict(context)), atol=1e-6)


def test_a_beam_of_one_is_greedy_with_one_symbol_a_frame() -> None:
    model = head(symbols_per_frame=1)
    states = torch.randn(25, 6)
    (path,) = model.beam(states, size=1)
    greedy, _ = model.greedy(states[None], model.init_state(1))
    assert path.emissions[-1].frame > 5
    assert [(e.label, e.frame) for e in path.emissions] == [(e.label, e.frame) for e in greedy[0]]


@torch.no_grad()
def test_a_wide_beam_finds_the_most_probable_labels_and_their_probability() -> None:
    model = head(symbols_per_frame=1)
    states = torch.randn(3, 6)
    scores: dict[tuple[int, ...], Tensor] = {}
    for labels in itertools.product(range(9), repeat=3):  # one label or blank a frame
        said, total = [0, 0], torch.tensor(0.0)
        for frame, label in zip(states, labels, strict=True):
            joined = model.join(model.frame(frame), model.predict(torch.tensor(said[-2:])))
            total = total + joined.log_softmax(-1)[label]
            said += [label] if label else []
        key = tuple(label for label in labels if label)
        scores[key] = torch.logaddexp(scores[key], total) if key in scores else total
    best = max(scores, key=lambda key: float(scores[key]))
    path = model.beam(states, size=400)[0]
    assert path.labels == best
    assert path.score == pytest.approx(float(scores[best]), abs=1e-4)
    first = model.beam(states[:1], size=400)
    assert model.beam(states[1:], first, size=400, offset=1)[0] == path


def test_training_teaches_labels_and_their_frames() -> None:
    torch.manual_seed(4)
    model = Transducer(TransducerConfig(labels=5, state_dim=5, dim=12, joiner=32))
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    # No label twice in a row: of two like frames nobody could say which is a second label.
    targets = torch.stack([torch.randperm(4) + 1 for _ in range(8)])
    states = torch.zeros(8, 12, 5)
    for row, labels in enumerate(targets.tolist()):
        for number, label in enumerate(labels):
            states[row, 3 * number + 1, label] = 1.0
    sizes = torch.full((8,), 12), torch.full((8,), 4)
    for _ in range(80):
        optimizer.zero_grad()
        rnnt_loss(model(states, targets), targets, *sizes).mean().backward()
        optimizer.step()
    found, _ = model.greedy(states, model.init_state(8))
    assert [[e.label for e in row] for row in found] == targets.tolist()
    assert all(e.frame >= 3 * number + 1 for row in found for number, e in enumerate(row))
