"""Training goes on where it stopped, and says what is wrong with a recipe."""

import itertools
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from streamst.config import from_dict
from streamst.errors import CheckpointError, ConfigError, InputError
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
    assert (tmp_path / "run/curve.png").read_bytes()[:4] == b"\x89PNG"


def test_a_step_whose_gradient_is_no_number_is_left_out(tmp_path: Path) -> None:
    class Rough(Line):
        def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
            loss, logged = super().loss(batch, step)
            if step % 10 == 3:  # finite itself, its slope is not
                loss = loss + (0 * next(self.module.parameters()).sum()).sqrt()
            return loss, logged

    figures = loop.train(Rough(), SETTINGS, tmp_path / "run")
    assert figures == pytest.approx({"weight": 2.0, "bias": -1.0}, abs=0.1)


@pytest.mark.parametrize("damage", ["cut", "text", "wider"])
def test_a_run_that_cannot_be_resumed_says_so(tmp_path: Path, damage: str) -> None:
    loop.train(Line(), loop.LoopConfig(steps=2), tmp_path / "run")
    last, task = tmp_path / "run/last.pt", Line()
    if damage == "cut":
        last.write_bytes(last.read_bytes()[:500])
    elif damage == "text":
        last.write_text("no run")
    else:
        task.module = nn.Linear(2, 1)
    with pytest.raises(CheckpointError, match=r"last\.pt is damaged, or no run of this recipe"):
        loop.train(task, loop.LoopConfig(steps=4), tmp_path / "run", resume=True)


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
        ("kind = 'poem'\noutput = 'x'", "kind 'poem' is not allowed; use one of data, words, evidence, translated"),
        ("kind = 'listener'", "missing key 'output'"),
        ("kind = 'writer'\noutput = 'x'\n[loop]\nsteps = 'many'", "loop.steps: 'many'"),
        ("kind = 'writer'\noutput = 'x'\n[loop]\nstep = 1", "loop: unknown key 'step'; allowed: .*steps"),
        ("kind = ['writer']\noutput = 'x'", r"kind \['writer'\] is not allowed"),
        ("kind = 'listener'\noutput = 'x'", "missing key 'text', a path"),
        ("kind = 'listener'\noutput = 'x'\ntext = 5", "text = 5 is not a path"),
        ("kind = 'listener'\noutput = 'x'\ntext = 'p'\nmodel = 5", r"model = 5 is not a table; write \[model\]"),
        ("kind = 'writer'\noutput = 'x'\n[modle]\ndim = 3", "unknown key 'modle'; allowed for kind 'writer': .*model"),
        ("kind = 'codec'\noutput = 'x'\n[loss]\nmel = 3", "unknown key 'loss'; allowed for kind 'codec': .*losses"),
        ("kind = 'writer'\noutput = 'x'\nloop = 5", r"loop = 5 is not a table"),
        ("kind = 'writer'\noutput = 'x'\n[loop]\nlog_every = 0", "loop.log_every is 0; it is at least 1"),
        ("kind = 'writer'\noutput = 'x'\n[loop]\nlearning_rate = nan", "loop.learning_rate is nan"),
        ("kind = 'writer'\noutput = 'x'\n[loop]\naverage_last = 2", "loop.average_last is 2.0; it is a share"),
        ("kind = 'writer'\noutput = 'x'", "data.source_tokenizer is missing"),
        ("kind = 'translator'\noutput = 'x'\nlistener = 'a'\nwriter = 'b'", "listener = 'a' is not an exported model"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        recipe.run(path, "cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = 'listener'\noutput = 'OUT'\ntext = 'no.tsv'", "sentence pairs no.tsv: .*No such file"),
        (
            "kind = 'listener'\noutput = 'OUT'\ntext = 'OUT.tsv'",
            "no tokenizer of 500 tokens can be learned from 1 line",
        ),
        ("kind = 'words'\noutput = 'OUT'\npairs = ['no.tsv']", "sentences no.tsv: .*No such file"),
        ("kind = 'data'\noutput = 'OUT'\n[synthetic]\npairs = ['no.tsv']", "sentence pairs no.tsv"),
        ("kind = 'words'\noutput = 'OUT.tsv'\npairs = ['OUT.tsv']", "recipe .*r.toml: .*exists"),
    ],
)
def test_a_file_that_a_recipe_names_in_vain_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text.replace("OUT", str(tmp_path / "out")))
    (tmp_path / "out.tsv").write_text("Hello there.\tHallo.\n")
    for _ in range(2):  # what the first try left behind does not change what the second one says
        with pytest.raises(InputError, match=message):
            recipe.run(path, "cpu")


def test_a_device_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("kind = 'writer'\noutput = 'x'")
    with pytest.raises(InputError, match="device 'gpu' is not possible; allowed: auto, cpu, cuda"):
        recipe.run(path, "gpu")


@pytest.mark.parametrize("path", sorted(recipe.SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_has_known_keys_only(path: Path) -> None:
    found = recipe.read(path)
    recipe.check_keys(found, found["kind"])
    from_dict(loop.LoopConfig, found.get("loop", {}))


def test_a_recipe_that_is_like_another_has_what_it_does_not_say_itself(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('kind = "writer"\noutput = "a"\n[loop]\nsteps = 3\nlog_every = 7\n')
    (tmp_path / "two.toml").write_text('like = "one.toml"\noutput = "b"\n[loop]\nsteps = 5\n[data]\nx = 1\n')
    right = {"kind": "writer", "output": "b", "loop": {"steps": 5, "log_every": 7}, "data": {"x": 1}}
    assert recipe.read(tmp_path / "two.toml") == right
    for like, message in (('"no.toml"', r"no\.toml does not exist"), ("3", "like = 3; allowed"), ('"it.toml"', "like")):
        (tmp_path / "it.toml").write_text(f"like = {like}\n")
        with pytest.raises(ConfigError, match=message):
            recipe.read(tmp_path / "it.toml")


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


def test_a_listener_that_a_word_search_cannot_use_is_refused_before_training(tmp_path: Path) -> None:
    for kind, config in (("listener", {"encoder": {"layers": 2, "middle": 1}}), ("writer", {})):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(json.dumps({"kind": kind, "config": config}))
    path, out = tmp_path / "r.toml", tmp_path.as_posix()
    names = (f"{name} = '{out}/{name}'" for name in ("output", "listener", "writer", "words"))
    path.write_text("\n".join(("kind = 'translator'", *names)))
    with pytest.raises(ConfigError, match="train the listener with middle = 2, or leave out words"):
        recipe.run(path, "cpu")


def test_the_shipped_listeners_suit_the_word_search() -> None:
    for name in ("listener.toml", "listener-base.toml"):
        shape = tomllib.loads((recipe.SHIPPED / name).read_text())["model"]["encoder"]
        assert shape["middle"] == shape["layers"]
