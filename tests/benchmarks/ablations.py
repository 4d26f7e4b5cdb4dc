"""What each part of training is worth: `python tests/benchmarks/ablations.py LISTENER.toml TRANSLATOR.toml --out DIR`.

Small listeners, each trained from scratch by the first recipe for the same number of steps with one part taken away;
then writers of the second recipe, each trained on from the same text model for the same number of steps. The recipes
are like those of `recipes/ablation-*.toml` beside this file: they name the data, sizes and steps. What is said on the
validation clips stays in DIR, so a run that was stopped goes on. Rows have 95 % intervals over the clips; a star marks
a paired bootstrap test against the first row with p < 0.05.
"""

from __future__ import annotations

import argparse
import copy
import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streamst.config import from_dict
from streamst.evaluate.metrics.confidence import mean_interval, paired_difference, quality_difference, quality_interval
from streamst.evaluate.metrics.quality import edit_counts
from streamst.models.listen.lexicon import BLANK
from streamst.text import Tokenizer
from streamst.train import listener, loop, translator
from streamst.train.speech import PAUSE, PHONEMES, SpeechBatch, SpeechBatches
from streamst.train.translator import TranslatorTask

Recipe = dict[str, Any]
Pairs = dict[str, list[list[str]]]  # by measure: [said, should have been said] of each clip
CHUNKS = {"160 ms": 2, "640 ms": 8}  # frames
LISTENERS: dict[str, Recipe] = {
    "all parts": {},
    "no phoneme losses": {"loss": {"phoneme_ctc": 0.0, "phoneme_frames": 0.0}},
    "no times of phonemes": {"loss": {"phoneme_frames": 0.0}},
    "no source CTC": {"loss": {"source_ctc": 0.0}},
    "no chunk training": {"loss": {"chunks": [-1], "lefts": [-1]}},
    "no human speech": {"data": {"cuts": []}},
}
UNTRAINED = {"no phoneme losses": "PER", "no source CTC": "WER"}  # what such a listener's heads never learnt to say
WRITERS: dict[str, Recipe] = {
    "distillation": {},
    "no distillation": {"join": {"distil": False}},
    "text model as it was": {"loop": {"steps": 1, "learning_rate": 0.0}},
}


def overlaid(recipe: Recipe, changes: Recipe, out: Path) -> Recipe:
    """`recipe` with `changes` in its tables and its run in `out`; no human speech where `changes` empties the cuts."""
    merged: Recipe = copy.deepcopy(recipe) | {"output": str(out)}
    for table, values in changes.items():
        merged[table] = merged.get(table, {}) | values
    if not merged["data"]["cuts"]:
        merged["data"]["cuts"] = [path for path in recipe["data"]["cuts"] if "human" not in path]
    return merged


def train(task: Any, recipe: Recipe, out: Path) -> None:
    """To the end, from where it was; the exported weights are then the task's."""
    settings = from_dict(loop.LoopConfig, recipe["loop"], "loop")
    loop.train(task, settings, out, "cpu", (out / "last.pt").exists())
    saved = torch.load(out / "last.pt", weights_only=True)
    task.module.load_state_dict(saved["average"] if saved["averaged"] else saved["model"])
    task.module.eval()


def batches(source: SpeechBatches, count: int) -> list[SpeechBatch]:
    """The first `count` clips in tens, without augmentation."""
    cuts = source.cuts[:count]
    return [source.collate([source.example(c) for c in cuts[at : at + 10]]) for at in range(0, len(cuts), 10)]


def listened(recipe: Recipe, changes: Recipe, out: Path) -> Pairs:
    """Words and phonemes that a listener hears, greedily."""
    recipe = overlaid(recipe, changes, out)
    task = listener.task(recipe, "cpu")
    assert isinstance(task, listener.ListenerTask)
    train(task, recipe, out)
    found: Pairs = {}
    for name, (source, cuts) in task._valid.items():
        for label, chunk in CHUNKS.items():
            task.validation = replace(task.validation, chunk=chunk)
            for batch in batches(source, len(cuts)):
                with torch.no_grad():
                    texts, sounds = task.transcribe(batch)
                truths = [phonetic(row) for row in batch.phones.split(batch.phone_counts.tolist())]
                found.setdefault(f"WER {name} {label}", []).extend(map(list, zip(texts, batch.texts, strict=True)))
                heard = [phonetic(row) for row in sounds]
                found.setdefault(f"PER {name} {label}", []).extend(map(list, zip(heard, truths, strict=True)))
    return found


def phonetic(labels: Tensor) -> str:
    """Names of the phonemes, without pauses."""
    return " ".join(PHONEMES[i] for i in labels.tolist() if i not in (BLANK, PAUSE))


def written(recipe: Recipe, changes: Recipe, out: Path) -> Pairs:
    """German that a writer writes, having heard the whole clip at 640 ms chunks, greedily."""
    recipe = {name: value for name, value in overlaid(recipe, changes, out).items() if name != "words"}
    sets = recipe.pop("validation")["cuts"]
    built = translator.task(recipe, "cpu")
    assert isinstance(built, TranslatorTask)
    task = TranslatorTask(built.listener, built.module, built.text, built.speech, built.config, None)
    train(task, recipe, out)
    found: Pairs = {}
    assert task.speech is not None
    for path in sets:
        source = SpeechBatches(replace(task.speech.config, cuts=(path,), longest_s=30.0), task.text.source, 1, 640)
        for batch in batches(source, 100):
            for tokens, german in zip(task._hear(batch, 8), batch.translations, strict=True):
                source_tokens = torch.tensor([[Tokenizer.begin, *tokens, Tokenizer.end]])
                hidden = torch.zeros_like(source_tokens, dtype=torch.bool)
                with torch.no_grad():
                    memory = task.module.memory(source_tokens, hidden)
                    text = task.text.target.decode(task.module.greedy(memory, [], 96).tokens)
                for measure in ("BLEU", "chrF"):
                    found.setdefault(f"{measure} {Path(path).parent.name}", []).append([text, german])
    return found


def kept(out: Path, make: Callable[[Path], Pairs]) -> Pairs:
    """What `make` found, or has found before."""
    done = out / "said.json"
    if not done.exists():
        out.mkdir(parents=True, exist_ok=True)
        done.write_text(json.dumps(make(out)), encoding="utf-8")
    return json.loads(done.read_text(encoding="utf-8"))


def errors(pairs: list[list[str]]) -> list[float]:
    """A value a clip whose mean is the corpus' error rate [%]."""
    counts = [edit_counts("WER", said, truth, "none") for said, truth in pairs if truth]
    total = sum(length for _, length in counts) / len(counts)
    return [100 * edits / total for edits, _ in counts]


def cell(measure: str, pairs: list[list[str]], first: list[list[str]]) -> str:
    """Value, interval and star."""
    if measure.startswith(("WER", "PER")):
        rates = errors(pairs)
        interval, change = mean_interval(rates), paired_difference(rates, errors(first))
        assert interval is not None
        assert change is not None
        p = change.p_value
    else:
        name = measure.split()[0]
        said, truth = zip(*pairs, strict=True)
        interval = quality_interval(name, said, truth)
        p = 1.0 if pairs == first else quality_difference(name, [s for s, _ in first], said, truth)[2]
    star = "*" if p < 0.05 else ""
    return f"{interval.value:.1f}{star} ({interval.low:.1f}–{interval.high:.1f})"


def table(rows: dict[str, Pairs]) -> None:
    """Markdown."""
    first = next(iter(rows.values()))
    print(f"\n| | {' | '.join(first)} |\n|---|{'---|' * len(first)}")
    for name, row in rows.items():
        untrained = UNTRAINED.get(name, "-")
        cells = ["–" if m.startswith(untrained) else cell(m, row[m], first[m]) for m in first]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Read the options, train and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listener", type=Path)
    parser.add_argument("translator", type=Path, help="with a table `validation` that lists `cuts` with translations")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    recipes = [tomllib.loads(path.read_text(encoding="utf-8")) for path in (options.listener, options.translator)]
    ears: dict[str, Pairs] = {}
    for name, changes in LISTENERS.items():
        ears[name] = kept(options.out / name, lambda out, c=changes: listened(recipes[0], c, out))
        table(ears)
    pens: dict[str, Pairs] = {}
    for name, changes in WRITERS.items():
        pens[name] = kept(options.out / name, lambda out, c=changes: written(recipes[1], c, out))
        table(pens)


if __name__ == "__main__":
    main()
