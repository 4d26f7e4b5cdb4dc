"""Training goes on where it stopped, and says what is wrong with a recipe."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from streamst.errors import CheckpointError, ConfigError
from streamst.train import loop, recipe


class Line:
    """Fits y = 2x - 1 from seeded points."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Linear(1, 1)

    def batches(self, step: int) -> Iterator[Tensor]:
        for number in itertools.count(step):
            yield torch.randn(8, 1, generator=torch.Generator().manual_seed(number))

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
        del step
        return (self.module(batch) - (2 * batch - 1)).square().mean(), {"seen": float(len(batch))}

    def validate(self) -> dict[str, float]:
        weight, bias = (parameter.item() for parameter in self.module.parameters())
        return {"weight": weight, "bias": bias}

    def export(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.json").write_text(json.dumps(self.validate()))


SETTINGS = loop.LoopConfig(
    steps=120, learning_rate=0.1, warmup_steps=5, log_every=10, validate_every=50, weight_decay=0.0
)


def test_a_line_is_learned_logged_and_exported(tmp_path: Path) -> None:
    figures = loop.train(Line(), SETTINGS, tmp_path / "run")
    assert figures == pytest.approx({"weight": 2.0, "bias": -1.0}, abs=0.1)
    assert json.loads((tmp_path / "run/model/model.json").read_text()) == pytest.approx(figures)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 12
    assert losses[-1] < losses[0] / 10


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = loop.train(Line(), SETTINGS, tmp_path / "whole")

    class Interrupted(Line):
        def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
            if step == 70:
                raise KeyboardInterrupt
            return super().loss(batch, step)

    saving = loop.LoopConfig(**{**SETTINGS.__dict__, "save_every_s": 0.0})
    with pytest.raises(KeyboardInterrupt):
        loop.train(Interrupted(), saving, tmp_path / "cut")
    assert loop.train(Line(), saving, tmp_path / "cut", resume=True) == pytest.approx(whole, abs=1e-6)


def test_a_run_is_never_overwritten_nor_resumed_from_nothing(tmp_path: Path) -> None:
    short = loop.LoopConfig(steps=2)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        loop.train(Line(), short, tmp_path / "run", resume=True)
    loop.train(Line(), short, tmp_path / "run")
    with pytest.raises(CheckpointError, match="--resume"):
        loop.train(Line(), short, tmp_path / "run")


def test_the_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    config = loop.LoopConfig(learning_rate=1.0, final_learning_rate=0.0, warmup_steps=10)
    assert loop.learning_rate(config, 0.0, 4) == pytest.approx(0.5)
    assert loop.learning_rate(config, 0.5, 100) == pytest.approx(0.5)
    assert loop.learning_rate(config, 1.0, 100) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = ", "is not TOML"),
        ("kind = 'poem'\noutput = 'x'", "kind 'poem' is not allowed; use one of data, words, listener, writer"),
        ("kind = 'listener'", "missing key 'output'"),
        ("kind = 'listener'\noutput = 'x'\n[loop]\nsteps = 'many'", "loop.steps: 'many'"),
        ("kind = 'listener'\noutput = 'x'\n[loop]\nstep = 1", "loop: unknown key 'step'; allowed: .*steps"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        recipe.run(path, "cpu")


def test_a_missing_recipe_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shipped recipes: .*listener\.toml.*writer\.toml"):
        recipe.run(tmp_path / "none.toml", "cpu")


def test_a_lengthened_run_forgets_the_average_of_the_shorter_one(tmp_path: Path) -> None:
    shorter = loop.LoopConfig(**{**SETTINGS.__dict__, "steps": 40})
    loop.train(Line(), shorter, tmp_path / "run")
    raw: list[float] = []

    class Watched(Line):
        def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
            if step == 50:
                raw.append(next(self.module.parameters()).item())
            return super().loss(batch, step)

    loop.train(Watched(), SETTINGS, tmp_path / "run", resume=True)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    at_50 = next(line["validation"] for line in lines if line["step"] == 50 and "validation" in line)
    assert at_50["weight"] == pytest.approx(raw[0], abs=1e-6)
