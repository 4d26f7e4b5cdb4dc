"""The training loop that every recipe shares: resumable, logged, the same on `cpu` and `cuda`."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from streamst.errors import CheckpointError, ConfigError, UnavailableError
from streamst.train import curve

COLUMNS = (
    TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    TextColumn("{task.fields[figures]}"),
)  # fmt: skip


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to train."""

    steps: int = 10_000
    learning_rate: float = 1e-3  # peak
    final_learning_rate: float = 1e-5
    warmup_steps: int = 300
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 5.0
    seed: int = 1
    log_every: int = 20  # steps
    validate_every: int = 1000  # steps
    save_every_s: float = 300.0  # wall time between checkpoints
    threads: int = 1  # intra-op threads on a CPU
    average_last: float = 0.2  # share of the steps whose weights are averaged (exponentially) into the exported model
    bfloat16: bool = False  # on a CPU: matrix products in bfloat16, weights in float32; a GPU does so anyway
    budget_s: float = 0.0  # wall time after which to stop and export, the rate decaying towards it; 0: `steps` decide

    def __post_init__(self) -> None:
        for name in ("log_every", "validate_every", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"loop.{name} is {getattr(self, name)}; it is at least 1")
        for name in ("steps", "warmup_steps", "budget_s", "learning_rate", "final_learning_rate", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"loop.{name} is {getattr(self, name)}; it is 0 or more")
        if not 0 <= self.average_last <= 1:
            raise ConfigError(f"loop.average_last is {self.average_last}; it is a share, 0 to 1")


class Task(Protocol):
    """What a recipe trains."""

    @property
    def module(self) -> nn.Module:
        """Holds every parameter that is trained."""
        ...

    def batches(self, step: int) -> Iterator[Any]:
        """Batches without end, the same ones for the same first step; on CPU tensors."""
        ...

    def loss(self, batch: Any, step: int) -> tuple[Tensor, dict[str, float]]:
        """A scalar to minimise, and figures to log (any name, averaged over `log_every` steps)."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on the validation data; called in eval mode without gradients."""
        ...

    def export(self, directory: Path) -> None:
        """Write the model (config.json, weights) for use."""
        ...


def learning_rate(config: LoopConfig, progress: float, step: int) -> float:
    """Linear warm-up over `warmup_steps`, then a cosine from the peak to the final rate as `progress` goes 0 to 1."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine


def check_directory(directory: Path, resume: bool) -> None:
    """CheckpointError when `resume` finds nothing to resume from, or a run stands there and `resume` was not said."""
    last = directory / "last.pt"
    if last.exists() and not resume:
        raise CheckpointError(
            f"{directory} holds a run already: continue it with --resume, or choose another directory"
        )
    if resume and not last.exists():
        raise CheckpointError(f"nothing to resume: {last} does not exist")


class Run:
    """A training under way: the weights, their average, the optimiser, and how far it is."""

    def __init__(self, task: Task, config: LoopConfig, directory: Path, device: str) -> None:
        self.config = config
        self.step = 0
        self._task, self._device, self._last = task, device, directory / "last.pt"
        self._module = task.module.to(device)
        self._trained = [p for p in self._module.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in self._trained if p.dim() >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in self._trained if p.dim() < 2], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
        self._average = {name: value.detach().clone().float() for name, value in self._module.state_dict().items()}
        self._averaged = 0
        self._before_s, self._began_s = 0.0, time.monotonic()

    @property
    def spent_s(self) -> float:
        """Wall time of this training, that of the runs it resumes included."""
        return self._before_s + time.monotonic() - self._began_s

    @property
    def progress(self) -> float:
        """How much of it is done, by steps or by time; more than 1 once it has taken longer than it may."""
        by_time = self.spent_s / self.config.budget_s if self.config.budget_s else 0.0
        return max(by_time, self.step / max(1, self.config.steps))

    def resume(self) -> None:
        """Go on from `last.pt`; CheckpointError where it is damaged or of another model."""
        try:
            saved = torch.load(self._last, map_location=self._device, weights_only=True)
            self._module.load_state_dict(saved["model"])
            self._optimizer.load_state_dict(saved["optimizer"])
            self._average = saved["average"]
            self.step, self._before_s, self._averaged = saved["step"], saved["spent_s"], saved["averaged"]
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{self._last} is damaged, or no run of this recipe: {reason}") from error
        self._began_s = time.monotonic()
        if not self._averaging():
            self._averaged = 0  # a longer run than the one that was resumed: its average begins anew

    def save(self) -> None:
        """Write `last.pt`, whole or not at all."""
        state = {
            "model": self._module.state_dict(), "optimizer": self._optimizer.state_dict(), "average": self._average,
            "step": self.step, "spent_s": self.spent_s, "averaged": self._averaged,
        }  # fmt: skip
        torch.save(state, self._last.with_suffix(".tmp"))
        os.replace(self._last.with_suffix(".tmp"), self._last)

    def update(self, batch: Any) -> tuple[float, dict[str, float]]:
        """One step by one batch: the learning rate, and what to log."""
        rate = learning_rate(self.config, self.progress, self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self._device, torch.bfloat16, enabled=self._device != "cpu" or self.config.bfloat16):
            loss, logged = self._task.loss(batch, self.step)
        norm = math.nan
        if torch.isfinite(loss):
            loss.backward()
            norm = float(nn.utils.clip_grad_norm_(self._trained, self.config.clip_norm))
        if math.isfinite(norm):
            self._optimizer.step()
            logged = {"loss": float(loss.detach()), "norm": norm, **logged}
        else:  # one such step would make every weight a NaN
            logged = {"skipped": 1.0}
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self._averaging():
            self._averaged += 1
            weight = max(1 / self._averaged, 0.002)
            for name, value in self._module.state_dict().items():
                self._average[name].lerp_(value.detach().float(), weight)
        return rate, logged

    def validate(self, export: Path | None = None) -> dict[str, float]:
        """Figures of the averaged weights on the validation data; with `export` they are written there, too."""
        with self._with_average():
            figures = self._task.validate()
            if export is not None:
                self._task.export(export)
        return figures

    def _averaging(self) -> bool:
        return self.progress > 1 - self.config.average_last

    @contextmanager
    def _with_average(self) -> Iterator[None]:
        """The module as it is exported: averaged weights, eval mode, no gradients."""
        raw = {name: value.detach().clone() for name, value in self._module.state_dict().items()}
        if self._averaged:
            averaged = {name: self._average[name].to(value.dtype) for name, value in raw.items()}
            self._module.load_state_dict(averaged)
        self._module.eval()
        with torch.no_grad():
            yield
        self._module.load_state_dict(raw)
        self._module.train()


class Log:
    """What is told of a run: lines of `log.jsonl`, and a bar."""

    def __init__(self, file: TextIO, bar: Progress, name: str, run: Run) -> None:
        self._file, self._bar, self._run = file, bar, run
        self._row = bar.add_task(name, total=run.config.steps, completed=run.step, figures="")
        self._sums: dict[str, list[float]] = {}

    def add(self, rate: float, figures: dict[str, float]) -> None:
        """What a step gave; every `log_every` steps their means become a line."""
        step = self._run.step
        for name, value in figures.items():
            self._sums.setdefault(name, []).append(value)
        if step % self._run.config.log_every:
            return
        line = {name: round(sum(values) / len(values), 5) for name, values in self._sums.items()}
        self._sums.clear()
        shown = " ".join(f"{k} {v:.3g}" for k, v in {**line, "rate": rate}.items() if k != "norm")
        self._write({**line, "step": step, "rate": round(rate, 7), "spent_s": round(self._run.spent_s, 1)})
        total = max(step, round(step / max(self._run.progress, 1e-6)))
        self._bar.update(self._row, completed=step, total=total, figures=shown)

    def validated(self, figures: dict[str, float]) -> None:
        """Figures on the validation data."""
        self._write({"step": self._run.step, "validation": figures})
        self.say(f"step {self._run.step}: " + " ".join(f"{k} {v:.4g}" for k, v in figures.items()))

    def exported(self, figures: dict[str, float]) -> None:
        """Figures of the model that was written."""
        self._write({"step": self._run.step, "validation": figures, "exported": True})

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def train(
    task: Task, config: LoopConfig, directory: Path, device: str = "cpu", resume: bool = False
) -> dict[str, float]:
    """Train `task`, writing `log.jsonl`, `curve.png`, `last.pt` (everything needed to resume) and the exported model to
    `directory`.

    Returns the last validation figures. Raises CheckpointError as `check_directory`, and for a run to resume that is
    damaged or of another model.
    """
    check_directory(directory, resume)
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    if device == "cpu":
        torch.set_num_threads(config.threads)
    run = Run(task, config, directory, device)
    if resume:
        run.resume()
    with (directory / "log.jsonl").open("a", encoding="utf-8") as file, Progress(*COLUMNS) as bar:
        log = Log(file, bar, directory.name, run)
        task.module.train()
        batches = task.batches(run.step)
        saved_s = time.monotonic()
        while run.step < config.steps and run.progress < 1:
            log.add(*run.update(next(batches)))
            if run.step % config.validate_every == 0:
                log.validated(run.validate())
            if time.monotonic() - saved_s > config.save_every_s:
                run.save()
                saved_s = time.monotonic()
        run.save()
        figures = run.validate(export=directory / "model")
        log.exported(figures)
        try:
            curve.plot(directory)
        except UnavailableError as error:
            log.say(str(error))
    return figures
