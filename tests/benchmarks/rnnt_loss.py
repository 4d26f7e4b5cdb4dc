"""RNN-T losses against torchaudio's, forward and backward: `python tests/benchmarks/rnnt_loss.py [--rounds N]`.

torchaudio 2.11 is one wheel for every torch from 2.11 on, linked to CUDA's libraries; with a torch for the CPU alone it
does not load, and this compares our forms with each other, as it does without torchaudio. torchaudio up to 2.8 has
wheels for the CPU, too, each for its own torch. One thread; CPU time of this process, the least of the rounds,
which take turns.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from streamst.train.rnnt import rnnt_loss, simple_rnnt_loss

SIZES = ((8, 250, 50, 500), (4, 100, 30, 256), (8, 120, 40, 500))


def lengths(rows: int, longest: int) -> Tensor:
    """From 60 % to all of `longest`."""
    return torch.linspace(0.6 * longest, longest, rows).long()


def torchaudio_loss() -> Callable[..., Tensor] | None:
    """torchaudio's function, where this Python has it."""
    try:
        from torchaudio.functional import rnnt_loss as theirs  # type: ignore[import-not-found]
    except (ImportError, OSError):
        return None
    return lambda logits, targets, frames, labels: theirs(
        logits, targets.int(), frames.int(), labels.int(), blank=0, reduction="none"
    )


def main(rounds: int) -> None:
    """Print one table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    theirs = torchaudio_loss()
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, 1 thread, CPU seconds")
    names = ("B, T, U, V", "padding", "torchaudio", "ours", "ratio", "am + lm", "ratio")
    columns = zip(names, (20, 8, 11, 8, 6, 8, 6), strict=True)
    print(" ".join(f"{name:>{width}}" for name, width in columns) + "  values")
    for rows, times, said, classes in SIZES:
        for padded in (False, True):
            torch.manual_seed(0)
            logits = torch.randn(rows, times, said + 1, classes)
            by_frame, by_label = torch.randn(rows, times, classes), torch.randn(rows, said + 1, classes)
            targets = torch.randint(1, classes, (rows, said))
            frames = lengths(rows, times) if padded else torch.full((rows,), times)
            labels = lengths(rows, said) if padded else torch.full((rows,), said)
            sizes = targets, frames, labels
            frames[-1], labels[-1] = times, said
            runs: dict[str, Callable[[], Tensor]] = {
                "ours": lambda x=logits, s=sizes: rnnt_loss(x.requires_grad_(), *s),
                "simple": lambda a=by_frame, b=by_label, s=sizes: simple_rnnt_loss(
                    a.requires_grad_(), b.requires_grad_(), *s
                ),
            }
            if theirs is not None:
                runs["torchaudio"] = lambda x=logits, s=sizes, f=theirs: f(x.requires_grad_(), *s)
            spent = dict.fromkeys(runs, float("inf"))
            values: dict[str, float] = {}
            for _ in range(rounds):
                for name, run in runs.items():
                    for leaf in (logits, by_frame, by_label):
                        leaf.grad = None
                    began = time.process_time()
                    loss = run().sum()
                    loss.backward()
                    spent[name] = min(spent[name], time.process_time() - began)
                    values[name] = loss.item()
            base = spent.get("torchaudio", float("nan"))
            agreed = f"{values.get('torchaudio', float('nan')):.3f} {values['ours']:.3f}"
            print(
                f"{f'{rows}, {times}, {said}, {classes}':>20} {'yes' if padded else 'no':>8} {base:11.3f}"
                f" {spent['ours']:8.3f} {base / spent['ours']:6.1f} {spent['simple']:8.3f}"
                f" {base / spent['simple']:6.1f}  {agreed}",
                flush=True,
            )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    main(arguments.parse_args().rounds)
