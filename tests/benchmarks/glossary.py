"""What a glossary changes: `python tests/benchmarks/glossary.py DEV.tsv TERMS.tsv [--distractors TRAIN.tsv]`.

Plays the clips of a manifest without a glossary, with the terms (a line SOURCE TAB TARGET), and with so many other
terms besides, the words of other sentences, that there are ten thousand. Prints how many of the terms that were said
are heard (in the captions) and translated (where the reference has them), BLEU, and the cost. `--make` writes TERMS.tsv
from the manifest itself: long words, rare in the distractors' text, that are nearly the same in both languages.
"""

from __future__ import annotations

import argparse
import difflib
import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from streamst.audio import read_blocks
from streamst.evaluate.log.manifest import Clip, read_manifest
from streamst.evaluate.metrics.quality import error_rate, sacrebleu_score
from streamst.events import Caption, Words
from streamst.languages.english import spoken_english
from streamst.models.glossary import read_glossary
from streamst.pipeline import Pipeline, load

TERMS = 10_000
RARE = 30  # times in the text of the distractors


def pairs_of(text: str, translation: str, counts: Counter[str]) -> dict[str, str]:
    """Rare words of a sentence that its translation has nearly alike."""
    found = {}
    for word in re.findall("[a-z]+", spoken_english(text)):
        for other in re.findall("[A-ZÄÖÜ][a-zäöüß]+", translation):
            alike = difflib.SequenceMatcher(None, word, other.lower()).ratio() >= 0.7
            if alike and min(len(word), len(other)) >= 5 and counts[word] <= RARE:
                found[word] = other
    return found


def words_of(clip: Clip) -> str:
    """What is said."""
    return spoken_english(" ".join(str(r.text) for r in clip.references))


def distractors(counts: Counter[str], terms: Mapping[str, str], number: int) -> dict[str, str]:
    """Words of five letters or more that are no terms, the rarest first, each as its own translation."""
    words = [
        word for word, _ in reversed(counts.most_common()) if len(word) >= 5 and word.isalpha() and word not in terms
    ]
    return {word: word.capitalize() for word in words[:number]}


def play(pipeline: Pipeline, clips: tuple[Clip, ...], terms: Mapping[str, str], wanted: Mapping[str, str],
         policy: str | None, latency: str) -> str:  # fmt: skip
    """A row of the table."""
    begun_s = time.process_time()
    pipeline.session(policy=policy, latency=latency, speech=False, glossary=terms)
    opened_s = time.process_time() - begun_s
    heard = said = due_source = due_target = 0
    captions, hypotheses, spoken, references = [], [], [], []
    audio_s = spent_s = 0.0
    for clip in clips:
        pcm = np.concatenate(list(read_blocks(clip.path, pipeline.sample_rate_hz)))
        session = pipeline.session(policy=policy, latency=latency, speech=False, glossary=terms)
        begun_s = time.process_time()
        events = [*session.push(pcm), *session.finish()]
        spent_s += time.process_time() - begun_s
        audio_s += len(pcm) / pipeline.sample_rate_hz
        captions.append(" ".join(e.stable for e in events if isinstance(e, Caption) and e.lang == "en" and e.final))
        hypotheses.append(" ".join(word for e in events if isinstance(e, Words) for word in e.words))
        spoken.append(words_of(clip))
        references.append(" ".join(str(r.translation) for r in clip.references))
        for source, target in wanted.items():
            if f" {source} " in f" {spoken[-1]} ":
                due_source += 1
                heard += f" {source} " in f" {captions[-1]} "
                if target in references[-1]:
                    due_target += 1
                    said += target in hypotheses[-1]
    bleu = sacrebleu_score("BLEU", hypotheses, references).value
    wer = error_rate("WER", captions, spoken, "none")
    recall = f"{heard} of {due_source} | {said} of {due_target}"
    quality = f"{wer.value if wer else 0:.1f} | {bleu:.2f}"
    return f"{len(terms)} | {recall} | {quality} | {opened_s:.2f} | {spent_s / audio_s:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("terms", type=Path)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--only-terms", action="store_true", help="play the clips in which a term is said, no others")
    parser.add_argument("--distractors", type=Path, help="text whose first column is English")
    parser.add_argument("--policy")
    parser.add_argument("--latency", default="medium")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", default="en-de")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts: Counter[str] = Counter()
    if arguments.distractors:
        for line in arguments.distractors.read_text(encoding="utf-8").splitlines():
            counts.update(re.findall("[a-z]+", line.split("\t")[0].lower()))
    clips = read_manifest(arguments.manifest, arguments.limit).clips
    if arguments.make:
        made: dict[str, str] = {}
        for clip in clips:
            for reference in clip.references:
                made = {**pairs_of(str(reference.text), str(reference.translation), counts), **made}
        arguments.terms.write_text("".join(f"{a}\t{b}\n" for a, b in made.items()), encoding="utf-8")
    wanted = dict(read_glossary(arguments.terms).terms)
    if arguments.only_terms:
        clips = tuple(clip for clip in clips if any(f" {term} " in f" {words_of(clip)} " for term in wanted))
    pipeline = load(arguments.model, "cpu")
    print("| glossary | terms | heard | translated | WER % | BLEU | opened in s | RTF |")
    print("|---|---|---|---|---|---|---|---|")
    rows: dict[str, Mapping[str, str]] = {"none": {}, "the terms": wanted}
    if counts:
        others = distractors(counts, wanted, TERMS - len(wanted))
        rows |= {"terms and others": {**others, **wanted}, "others only": others}
    for name, terms in rows.items():
        row = play(pipeline, clips, terms, wanted, arguments.policy, arguments.latency)
        print(f"| {name} | {row}", flush=True)


if __name__ == "__main__":
    main()
