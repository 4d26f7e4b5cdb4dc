"""Residual quantisation: nearest codes, residuals, learning."""

from __future__ import annotations

import pytest
import torch

from streamst.errors import ConfigError, InputError
from streamst.nn.vq import FusedQuantiser, ResidualLearner, ResidualQuantiser


@pytest.fixture
def quantiser() -> ResidualQuantiser:
    torch.manual_seed(5)
    return ResidualQuantiser(dim=10, sizes=(8, 16, 16, 16), code_dim=3).eval()


@torch.no_grad()
def test_codes_are_the_nearest_ones_of_each_residual(quantiser: ResidualQuantiser) -> None:
    latents = torch.randn(2, 7, 10)
    quantised, codes = quantiser.quantise(latents)
    rest = latents.clone()
    for number, stage in enumerate(quantiser.first(None)):
        distance = (stage.down(rest)[..., None, :] - stage.codes).norm(dim=-1)
        assert torch.equal(distance.argmin(-1), codes[..., number])
        rest = rest - stage.up(stage.codes[codes[..., number]])
    torch.testing.assert_close(latents - rest, quantised, atol=1e-5, rtol=0)


@torch.no_grad()
def test_dequantised_codes_are_the_quantised_latents_at_every_rate(quantiser: ResidualQuantiser) -> None:
    latents = torch.randn(3, 5, 10)
    all_codes = quantiser.quantise(latents)[1]
    for count in (1, 2, 3, 4):
        quantised, codes = quantiser.quantise(latents, count)
        assert torch.equal(codes, all_codes[..., :count])
        torch.testing.assert_close(quantiser.dequantise(codes), quantised, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [0, 5])
def test_a_number_of_codebooks_that_does_not_exist_is_an_error(quantiser: ResidualQuantiser, count: int) -> None:
    with pytest.raises(InputError, match=f"{count} codebooks; this codec has 1 to 4"):
        quantiser.quantise(torch.zeros(1, 1, 10), count)


@pytest.mark.parametrize("code", [-1, 16, 1000])
def test_a_code_outside_its_codebook_is_an_error(quantiser: ResidualQuantiser, code: int) -> None:
    with pytest.raises(InputError, match=f"code {code} is not in codebook 1 of 16 codes"):
        quantiser.dequantise(torch.tensor([[[3, code]]]))


def test_learning_lowers_the_error_and_more_stages_lower_it_further(quantiser: ResidualQuantiser) -> None:
    centres = torch.randn(12, 10)

    def sample() -> torch.Tensor:
        return centres[torch.randint(12, (8, 32))] + 0.1 * torch.randn(8, 32, 10)

    def errors() -> list[float]:
        with torch.no_grad():
            latents = sample()
            return [float((quantiser.quantise(latents, n)[0] - latents).square().mean()) for n in (1, 2, 4)]

    torch.manual_seed(1)
    before = errors()
    learner = ResidualLearner((8, 16, 16, 16), code_dim=3, decay=0.9).train()
    optimizer = torch.optim.Adam(quantiser.parameters(), lr=1e-2)
    for _ in range(150):
        latents = sample()
        used, commitment = learner(quantiser, latents, torch.randint(1, 5, (8,)))
        loss = (used - latents).square().mean() + 0.25 * commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = errors()
    assert after[2] < 0.2 * before[2]
    assert after[2] < after[1] < after[0]
    used_codes = {int(c) for c in quantiser.quantise(sample(), 1)[1].flatten()}
    assert len(used_codes) >= 6


def test_rows_without_quantisation_pass_untouched_and_train_no_codebook(quantiser: ResidualQuantiser) -> None:
    learner = ResidualLearner((8, 16, 16, 16), code_dim=3).train()
    latents = torch.randn(2, 6, 10)
    used, commitment = learner(quantiser, latents, torch.tensor([0, 0]))
    assert torch.equal(used, latents)
    assert float(commitment) == 0
    assert not learner.counts.any()


def test_gradients_pass_straight_through_the_choice_of_codes(quantiser: ResidualQuantiser) -> None:
    learner = ResidualLearner((8, 16, 16, 16), code_dim=3).eval()
    latents = torch.randn(1, 4, 10, requires_grad=True)
    used, _ = learner(quantiser, latents, torch.tensor([4]))
    used.sum().backward()
    assert latents.grad is not None
    assert float(latents.grad.abs().sum()) > 0
    with torch.no_grad():
        torch.testing.assert_close(used, quantiser.quantise(latents)[0], atol=1e-5, rtol=0)


def test_fused_codes_and_latents_are_those_of_the_quantiser() -> None:
    torch.manual_seed(6)
    quantiser = ResidualQuantiser(10, (8, 32, 32), 4)
    for stage in quantiser.first(None):
        torch.nn.init.normal_(stage.up.bias, std=0.1)
    fused, latents = FusedQuantiser(quantiser), torch.randn(200, 10)
    with torch.inference_mode():
        expected, codes = quantiser.quantise(latents[None])
        found = fused.codes(latents, 3)
        assert float((found == codes[0]).double().mean()) > 0.99
        torch.testing.assert_close(fused.latents(codes[0]), expected[0], atol=1e-5, rtol=0)
        assert torch.equal(fused.codes(latents, 2), found[:, :2])


@torch.no_grad()
def test_each_group_is_quantised_as_by_a_residual_quantiser_of_its_own() -> None:
    torch.manual_seed(2)
    grouped = ResidualQuantiser(dim=11, sizes=(16,) * 5, code_dim=3, groups=2).eval()
    latents = torch.randn(2, 7, 11)
    quantised, codes = grouped.quantise(latents)
    for group, (begin, end) in enumerate(((0, 5), (5, 11))):
        stages = grouped.first(None)[group::2]
        rest = latents[..., begin:end]
        for place, stage in enumerate(stages):
            seen = rest @ stage.down.weight[:, begin:end].t()
            index = (seen[..., None, :] - stage.codes).norm(dim=-1).argmin(-1)
            assert torch.equal(index, codes[..., group + 2 * place])
            rest = rest - (stage.codes[index] @ stage.up.weight[begin:end].t() + stage.up.bias[begin:end])
        torch.testing.assert_close(latents[..., begin:end] - rest, quantised[..., begin:end], atol=1e-5, rtol=0)
    torch.testing.assert_close(grouped.dequantise(codes), quantised, atol=1e-6, rtol=0)
    fused = FusedQuantiser(grouped)
    assert torch.equal(fused.codes(latents.reshape(-1, 11), 5), codes.reshape(-1, 5))


def test_groups_stay_apart_while_they_learn_and_the_error_falls() -> None:
    torch.manual_seed(3)
    quantiser = ResidualQuantiser(dim=12, sizes=(16,) * 4, code_dim=3, groups=2)
    learner = ResidualLearner(quantiser.sizes, 3)
    optimiser = torch.optim.AdamW(quantiser.parameters(), lr=1e-2)
    centres = torch.randn(2, 10, 6)

    def sample() -> torch.Tensor:
        found = [one[torch.randint(10, (4, 32))] for one in centres]
        return torch.cat(found, -1) + 0.05 * torch.randn(4, 32, 12)

    def error() -> float:
        with torch.no_grad():
            latents = sample()
            return float((quantiser.quantise(latents)[0] - latents).square().mean())

    before = error()
    for _ in range(60):
        latents = sample()
        out, commitment = learner(quantiser, latents, torch.full((4,), 4))
        optimiser.zero_grad()
        ((out - latents).square().mean() + commitment).backward()
        optimiser.step()
    assert error() < 0.5 * before
    for number, stage in enumerate(quantiser.first(None)):
        outside = slice(6, 12) if number % 2 == 0 else slice(0, 6)
        assert not stage.down.weight[:, outside].any()
        assert not stage.up.weight[outside].any()
        assert not stage.up.bias[outside].any()


@pytest.mark.parametrize("groups", [0, 4, 5])
def test_a_number_of_groups_that_cannot_be_is_an_error(groups: int) -> None:
    with pytest.raises(ConfigError, match=f"groups {groups}; .*: 1 to 3"):
        ResidualQuantiser(dim=10, sizes=(8,) * 4, code_dim=3, groups=groups)
