"""The training loop that every recipe shares: resumable, logged, the same on `cpu` and `cuda`."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from streamst.errors import CheckpointError, ConfigError, UnavailableError
from streamst.train import curve


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


def train(
    task: Task, config: LoopConfig, directory: Path, device: str = "cpu", resume: bool = False
) -> dict[str, float]:
    """Train `task`, writing `log.jsonl`, `curve.png`, `last.pt` (everything needed to resume) and the exported model to
    `directory`.

    Returns the last validation figures. Raises CheckpointError as `check_directory`, and for a run to resume that is
    damaged or of another model.
    """
    check_directory(directory, resume)
    last = directory / "last.pt"
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    if device == "cpu":
        torch.set_num_threads(config.threads)
    module = task.module.to(device)
    decay = [p for p in module.parameters() if p.requires_grad and p.dim() >= 2]
    plain = [p for p in module.parameters() if p.requires_grad and p.dim() < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=device != "cpu" or None)
    average = {name: value.detach().clone().float() for name, value in module.state_dict().items()}
    step, spent_s, averaged = 0, 0.0, 0
    if resume:
        try:
            saved = torch.load(last, map_location=device, weights_only=True)
            module.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            average = saved["average"]
            step, spent_s, averaged = saved["step"], saved["spent_s"], saved["averaged"]
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{last} is damaged, or no run of this recipe: {reason}") from error

    def save() -> None:
        state = {
            "model": module.state_dict(), "optimizer": optimizer.state_dict(), "average": average,
            "step": step, "spent_s": spent_s + time.monotonic() - started, "averaged": averaged,
        }  # fmt: skip
        torch.save(state, directory / "last.tmp")
        os.replace(directory / "last.tmp", last)

    def progress_now() -> float:
        by_time = (spent_s + time.monotonic() - started) / config.budget_s if config.budget_s else 0.0
        return max(by_time, step / max(1, config.steps))

    def averaging() -> bool:
        return progress_now() > 1 - config.average_last

    def with_average(action: str) -> dict[str, float]:
        raw = {name: value.detach().clone() for name, value in module.state_dict().items()}
        if averaged:
            module.load_state_dict({name: average[name].to(value.dtype) for name, value in raw.items()})
        module.eval()
        with torch.no_grad():
            figures = task.validate()
            if action == "export":
                task.export(directory / "model")
        module.load_state_dict(raw)
        module.train()
        return figures

    started = last_save = time.monotonic()
    if not averaging():
        averaged = 0  # a longer run than the one that was resumed: its average begins anew
    figures: dict[str, float] = {}
    sums: dict[str, list[float]] = {}
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )  # fmt: skip
    log = (directory / "log.jsonl").open("a", encoding="utf-8")
    with log, Progress(*columns) as bar:
        row = bar.add_task(directory.name, total=config.steps, completed=step, figures="")
        module.train()
        batches = task.batches(step)
        while step < config.steps and progress_now() < 1:
            rate = learning_rate(config, progress_now(), step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = next(batches)
            with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
                loss, logged = task.loss(batch, step)
            norm = math.nan
            if torch.isfinite(loss):
                loss.backward()
                norm = float(nn.utils.clip_grad_norm_([*decay, *plain], config.clip_norm))
            if math.isfinite(norm):
                optimizer.step()
                logged = {"loss": float(loss.detach()), "norm": norm, **logged}
            else:  # one such step would make every weight a NaN
                logged = {"skipped": 1.0}
            optimizer.zero_grad(set_to_none=True)
            step += 1
            if averaging():
                averaged += 1
                weight = max(1 / averaged, 0.002)
                for name, value in module.state_dict().items():
                    average[name].lerp_(value.detach().float(), weight)
            for name, value in logged.items():
                sums.setdefault(name, []).append(value)
            if step % config.log_every == 0:
                line = {name: round(sum(values) / len(values), 5) for name, values in sums.items()}
                sums.clear()
                line |= {
                    "step": step,
                    "rate": round(rate, 7),
                    "spent_s": round(spent_s + time.monotonic() - started, 1),
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
                shown = " ".join(f"{k} {v:.3g}" for k, v in line.items() if k not in {"step", "spent_s", "norm"})
                total = max(step, round(step / max(progress_now(), 1e-6)))
                bar.update(row, completed=step, total=total, figures=shown)
            if step % config.validate_every == 0:
                figures = with_average("validate")
                log.write(json.dumps({"step": step, "validation": figures}) + "\n")
                log.flush()
                bar.console.print(f"step {step}: " + " ".join(f"{k} {v:.4g}" for k, v in figures.items()))
            if time.monotonic() - last_save > config.save_every_s:
                save()
                last_save = time.monotonic()
        save()
        figures = with_average("export")
        log.write(json.dumps({"step": step, "validation": figures, "exported": True}) + "\n")
        log.flush()
        try:
            curve.plot(directory)
        except UnavailableError as error:
            bar.console.print(str(error))
    return figures
