"""Quality of text: BLEU, chrF, TER by sacrebleu, WER and CER after a named normaliser, COMET by an external command."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from streamst.errors import InputError, UnavailableError

from .normalise import described, normalise
from .result import Metric, signature

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacrebleuMetric

QUALITY_UNITS = {"BLEU": "points", "chrF": "points", "chrF++": "points", "TER": "%"}


def check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Raise InputError unless there is one reference for every hypothesis, and at least one."""
    if len(hypotheses) != len(references):
        raise InputError(f"{len(hypotheses)} hypotheses but {len(references)} references: they must be equal")
    if not hypotheses:
        raise InputError("there is nothing to score: 0 hypotheses")


def tokenizer_for(language: str) -> str:
    """sacrebleu's BLEU tokenizer for a language: "zh" for Chinese, "char" for Japanese and Korean, "13a" elsewhere."""
    return {"zh": "zh", "ja": "char", "ko": "char"}.get(language.lower().replace("_", "-").split("-")[0], "13a")


def scorer(name: str, tokenize: str = "13a") -> SacrebleuMetric:
    """sacrebleu's metric `name` with its defaults; `tokenize` matters for BLEU. Raises InputError for another name."""
    if name == "BLEU":
        return BLEU(tokenize=tokenize)
    if name in ("chrF", "chrF++"):
        return CHRF(word_order=2 if name == "chrF++" else 0)
    if name == "TER":
        return TER()
    raise InputError(f"unknown quality metric {name!r}; allowed: {', '.join(QUALITY_UNITS)}")


def sacrebleu_score(name: str, hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> Metric:
    """A corpus score 0..100 (TER may exceed it) with sacrebleu's own signature; an empty hypothesis counts as such."""
    check_pairs(hypotheses, references)
    metric = scorer(name, tokenize)
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return Metric(float(score.score), QUALITY_UNITS[name], str(metric.get_signature()))


def error_rate(name: str, hypotheses: Sequence[str], references: Sequence[str], normaliser: str) -> Metric | None:
    """WER or CER: edits / reference words or characters, over the corpus, both sides normalised [%].

    Characters include the spaces between words. An empty reference adds its hypothesis as insertions. None when all
    references are empty.
    """
    if name not in ("WER", "CER"):
        raise InputError(f"unknown error rate {name!r}; allowed: WER, CER")
    check_pairs(hypotheses, references)
    edits = [edit_counts(name, h, r, normaliser) for h, r in zip(hypotheses, references, strict=True)]
    total = sum(length for _, length in edits)
    if not total:
        return None
    fields = {
        "norm": described(normaliser),
        "average": "micro",
        "n": len(edits),
        "empty_ref": sum(not length for _, length in edits),
        "jiwer": metadata.version("jiwer"),
    }
    return Metric(100.0 * sum(e for e, _ in edits) / total, "%", signature(fields))


def edit_counts(name: str, hypothesis: str, reference: str, normaliser: str) -> tuple[int, int]:
    """(edits, reference length) of one pair, in words for WER and characters for CER."""
    hypothesis, reference = normalise(hypothesis, normaliser), normalise(reference, normaliser)
    if name == "WER":
        if not reference.split():
            return len(hypothesis.split()), 0
        words = jiwer.process_words(reference, hypothesis)
        return words.substitutions + words.deletions + words.insertions, len(reference.split())
    if not reference:
        return len(hypothesis), 0
    characters = jiwer.process_characters(reference, hypothesis)
    return characters.substitutions + characters.deletions + characters.insertions, len(reference)


def comet(
    command: Sequence[str], sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> Metric:
    """COMET by a command of your own; StreamST neither installs nor runs a model for it.

    command: words in which {source}, {hypothesis} and {reference} stand for text files of one sentence a line, such as
        ["comet-score", "-s", "{source}", "-t", "{hypothesis}", "-r", "{reference}", "--quiet", "--only_system"]
    Its last number on the standard output is the score. Raises UnavailableError when the program is missing, InputError
    when it fails or prints no number.
    """
    check_pairs(hypotheses, references)
    check_pairs(hypotheses, sources)
    if not command or shutil.which(command[0]) is None:
        raise UnavailableError(f"COMET command {list(command)} is not installed (pip install unbabel-comet)")
    texts = {"source": sources, "hypothesis": hypotheses, "reference": references}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, name) for name in texts}
        for name, lines in texts.items():
            paths[name].write_text("".join(" ".join(line.split()) + "\n" for line in lines), encoding="utf-8")
        filled = [word.format_map({name: str(path) for name, path in paths.items()}) for word in command]
        done = subprocess.run(filled, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"COMET command {list(command)} failed with {done.returncode}: {done.stderr.strip()[-500:]}")
    numbers = re.findall(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", done.stdout)
    if not numbers or not math.isfinite(float(numbers[-1])):
        raise InputError(f"COMET command {list(command)} printed no score: {done.stdout.strip()[-500:]!r}")
    described = " ".join(command).replace("|", "/")
    return Metric(float(numbers[-1]), "points", signature({"command": described, "n": len(hypotheses)}))
