"""The RNN-T loss is the sum over all paths, its gradients are that sum's, and torchaudio agrees."""

import itertools
import json
import math
from pathlib import Path

import peer_audio
import pytest
import torch
from torch import Tensor

from streamst.train.rnnt import (
    banded,
    bands,
    emissions,
    lattice_loss,
    rnnt_loss,
    simple_emissions,
    simple_rnnt_loss,
)

GOLDEN = json.loads((Path(__file__).parent / "data/golden/rnnt.json").read_text())


def by_enumeration(logits: Tensor, targets: list[int]) -> float:
    """Every order of T - 1 blanks and U labels, then the last blank; logits (T, U + 1, V)."""
    scores = logits.double().log_softmax(-1)
    frames, labels = logits.shape[0], len(targets)
    paths = []
    for places in itertools.combinations(range(frames - 1 + labels), labels):
        t = u = 0
        path = 0.0
        for step in range(frames - 1 + labels):
            if step in places:
                path += float(scores[t, u, targets[u]])
                u += 1
            else:
                path += float(scores[t, u, 0])
                t += 1
        paths.append(path + float(scores[frames - 1, labels, 0]))
    return -float(torch.tensor(paths, dtype=torch.float64).logsumexp(0))


@pytest.mark.parametrize(("frames", "labels"), [(1, 0), (1, 3), (4, 0), (2, 2), (5, 3), (3, 5)])
def test_the_loss_is_the_sum_over_every_path(frames: int, labels: int) -> None:
    torch.manual_seed(frames * 10 + labels)
    logits = 2 * torch.randn(1, frames, labels + 1, 6)
    targets = torch.randint(1, 6, (1, labels))
    loss = rnnt_loss(logits, targets, torch.tensor([frames]), torch.tensor([labels]))
    assert loss.item() == pytest.approx(by_enumeration(logits[0], targets[0].tolist()), abs=1e-4)


def test_rows_of_a_padded_batch_are_what_they_are_alone() -> None:
    torch.manual_seed(1)
    frames, labels = torch.tensor([7, 3, 5]), torch.tensor([2, 4, 0])
    logits = torch.randn(3, 7, 5, 8, requires_grad=True)
    targets = torch.randint(1, 8, (3, 4))
    together = rnnt_loss(logits, targets, frames, labels)
    (gradient,) = torch.autograd.grad(together.sum(), logits)
    for row, (t, u) in enumerate(zip(frames.tolist(), labels.tolist(), strict=True)):
        own = logits.detach()[row : row + 1, :t, : u + 1].requires_grad_()
        alone = rnnt_loss(own, targets[row : row + 1, :u], frames[row : row + 1], labels[row : row + 1])
        (expected,) = torch.autograd.grad(alone.sum(), own)
        assert together[row].item() == pytest.approx(alone.item(), abs=1e-5)
        assert torch.allclose(gradient[row, :t, : u + 1], expected[0], atol=1e-6)
        assert not gradient[row, t:].any()
        assert not gradient[row, :, u + 1 :].any()


def test_gradients_equal_finite_differences_of_the_enumeration() -> None:
    torch.manual_seed(2)
    logits = torch.randn(1, 3, 3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        rnnt_loss(logits, torch.tensor([[2, 1]]), torch.tensor([3]), torch.tensor([2])).sum(), logits
    )
    for place in itertools.product(range(3), range(3), range(4)):
        ends = []
        for side in (1e-3, -1e-3):
            moved = logits.detach()[0].double().clone()
            moved[place] += side
            ends.append(by_enumeration(moved, [2, 1]))
        assert gradient[(0, *place)].item() == pytest.approx((ends[0] - ends[1]) / 2e-3, abs=1e-4)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_values_and_gradients_equal_torchaudio(case: dict[str, list[float]]) -> None:
    logits = torch.tensor(case["logits"], requires_grad=True)
    frames, labels = torch.tensor(case["frames"]), torch.tensor(case["labels"])
    losses = rnnt_loss(logits, torch.tensor(case["targets"]), frames, labels, int(case["blank"][0]))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert torch.allclose(losses, torch.tensor(case["losses"]), rtol=1e-5)
    assert torch.allclose(gradient, torch.tensor(case["gradient"]), atol=1e-5)


def test_values_and_gradients_equal_those_of_the_torchaudio_that_is_installed() -> None:
    theirs = peer_audio.torchaudio().functional.rnnt_loss
    torch.manual_seed(2)
    logits = torch.randn(3, 20, 7, 11, requires_grad=True)
    targets, frames, labels = torch.randint(1, 11, (3, 6)), torch.tensor([20, 13, 8]), torch.tensor([6, 4, 0])
    ours = rnnt_loss(logits, targets, frames, labels)
    other = theirs(logits, targets.int(), frames.int(), labels.int(), blank=0, reduction="none")
    assert torch.allclose(ours, other, rtol=1e-5)
    (one,), (two,) = (torch.autograd.grad(x.sum(), logits) for x in (ours, other))
    assert torch.allclose(one, two, atol=1e-5)


def test_the_factorised_form_equals_the_full_one_on_the_sum_of_its_logits() -> None:
    torch.manual_seed(3)
    by_frame, by_label = torch.randn(2, 6, 9, requires_grad=True), torch.randn(2, 4, 9, requires_grad=True)
    targets, frames, labels = torch.randint(1, 9, (2, 3)), torch.tensor([6, 4]), torch.tensor([3, 2])
    simple = simple_rnnt_loss(by_frame, by_label, targets, frames, labels)
    full = rnnt_loss(by_frame[:, :, None] + by_label[:, None], targets, frames, labels)
    assert torch.allclose(simple, full, atol=1e-5)
    for a, b in zip(*(torch.autograd.grad(x.sum(), (by_frame, by_label)) for x in (simple, full)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_long_and_improbable_lattices_stay_finite() -> None:
    torch.manual_seed(4)
    logits = (40 * torch.randn(1, 300, 31, 12)).requires_grad_()
    loss = rnnt_loss(logits, torch.randint(1, 12, (1, 30)), torch.tensor([300]), torch.tensor([30]))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert math.isfinite(loss.item())
    assert torch.isfinite(gradient).all()
    # Every path takes a last blank: the gradient by blank's log-probability there is -1, and rows of softmax sum to 0.
    assert torch.allclose(gradient.sum(-1), torch.zeros(1, 300, 31), atol=1e-3)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_bands_are_paths_from_the_first_to_the_last_label(width: int) -> None:
    torch.manual_seed(width)
    frames, labels = torch.tensor([40, 12, 9]), torch.tensor([19, 8, 2])
    starts = bands(torch.rand(3, 40, 20), frames, labels, width)
    for row, count, said in zip(starts.tolist(), frames.tolist(), labels.tolist(), strict=True):
        row = row[:count]
        assert row[0] == 0
        assert row[-1] == max(0, said + 1 - width)
        assert all(0 <= after - before < width for before, after in itertools.pairwise(row))


def test_a_band_that_holds_everything_loses_nothing_and_a_narrow_one_a_little() -> None:
    torch.manual_seed(6)
    logits = torch.randn(2, 12, 7, 9)
    for u in range(6):  # likely paths near the diagonal, as speech has them
        logits[:, 2 * u, u] += 14 * torch.nn.functional.one_hot(torch.tensor(u % 3 + 1), 9)
    logits[..., 0] += 7
    targets = (torch.arange(6) % 3 + 1).expand(2, -1)
    frames, labels = torch.tensor([12, 12]), torch.tensor([6, 6])
    blank, label = (x.requires_grad_() for x in emissions(logits, targets, frames, labels))
    whole = lattice_loss(blank, label, frames, labels)
    by_blank, by_label = torch.autograd.grad(-whole.sum(), (blank, label))
    occupation = by_blank + torch.nn.functional.pad(by_label, (0, 1))
    losses = {}
    for width in (7, 3):
        starts = bands(occupation, frames, labels, width)
        index = starts[..., None] + torch.arange(width)
        padded = torch.nn.functional.pad(label, (0, width + 1))
        narrow = banded(torch.nn.functional.pad(blank, (0, width)).gather(2, index), starts, 7)
        losses[width] = lattice_loss(narrow, banded(padded.gather(2, index), starts, 6), frames, labels)
    assert torch.allclose(losses[7], whole, atol=1e-5)
    assert (losses[3] >= whole - 1e-5).all()
    assert (losses[3] < whole + 0.3).all()


def test_half_precision_logits_are_summed_in_single_precision() -> None:
    torch.manual_seed(7)
    logits = torch.randn(1, 20, 6, 50).bfloat16()
    sizes = torch.randint(1, 50, (1, 5)), torch.tensor([20]), torch.tensor([5])
    assert rnnt_loss(logits, *sizes).item() == pytest.approx(rnnt_loss(logits.float(), *sizes).item(), abs=1e-4)


def test_a_target_outside_the_vocabulary_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="target 9"):
        rnnt_loss(torch.zeros(1, 2, 2, 5), torch.tensor([[9]]), torch.tensor([2]), torch.tensor([1]))


def test_emissions_of_the_factorised_form_are_log_probabilities() -> None:
    torch.manual_seed(8)
    by_frame, by_label = 30 * torch.randn(1, 3, 4), 30 * torch.randn(1, 2, 4)
    blank, label = simple_emissions(by_frame, by_label, torch.tensor([[2]]))
    expected = (by_frame[:, :, None] + by_label[:, None]).log_softmax(-1)
    assert torch.allclose(blank, expected[..., 0], atol=1e-4)
    assert torch.allclose(label, expected[:, :, :-1, 2], atol=1e-4)
