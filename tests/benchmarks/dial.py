"""Tune a model's latency dial: `python tests/benchmarks/dial.py DEV.tsv --write streamst/assets/translator/dial.json`.

Plays a development set to every setting below and takes, for each position of the dial, the one with the best BLEU
whose LAAL stays within the position's budget. Sessions are the product's own; what several of them ask of the networks
in the same state is computed once, and counted for each: seconds of compute are those of a session that runs alone.
Report on a test set with `streamst bench sweep TEST.tsv --latency minimal --latency low ...`, never tune on it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamst.audio import read_blocks
from streamst.errors import ConfigError
from streamst.evaluate.latency import Utterance, corpus
from streamst.evaluate.manifest import read_manifest
from streamst.evaluate.quality import sacrebleu_score
from streamst.events import Finished, Words
from streamst.models.glossary import Glossary
from streamst.pipeline import load
from streamst.policies.base import Decoding
from streamst.policies.catalog import LATENCY_NAMES, Setting, latency_setting, parse_policy
from streamst.session import Session, SessionOptions

BUDGETS_MS = (800.0, 1200.0, 1700.0, 2300.0, 3200.0)  # LAAL at the positions of the dial
CHUNKS_MS = (320, 640, 960)
POLICIES = (
    *(f"wait-k:k={k}" for k in (1, 3, 5, 7)),
    *(f"local-agreement:n={n}" for n in (2, 3)),
    *(f"hold-n:n={n}" for n in (2, 4, 8)),
    *(f"edatt:alpha={a},window_ms=400,sink_frames=0" for a in (0.6, 0.1)),
    *(f"alignatt:hold_ms={h}" for h in (80, 240, 480, 960)),
    *(f"streamatt:hold_ms={h}" for h in (240, 480)),  # alignatt where talks are short
    *(f"ctc-guided:lag={n}" for n in (0, 2)),
    "transducer",
    "taed",
    *(f"confidence:tau={t}" for t in (0.3, 0.5, 0.7, 0.9)),
    *(f"consensus:gamma={g}" for g in (0.5, 0.75)),
    *(f"monotonic:threshold={t}" for t in (0.3, 0.5)),
)
OFFLINE = "wait-k:k=1000"


class Remembering:
    """A translator that computes nothing twice for a clip; `spent_s` adds up what it cost the first time."""

    def __init__(self, translator: Any) -> None:
        self._translator = translator
        self._known: dict[tuple[Any, ...], tuple[Any, float, Any]] = {}
        self.spent_s = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._translator, name)
        if name not in ("init_state", "encode", "hypothesise", "next_segment", "forget"):
            return found

        def remembered(*arguments: Any) -> Any:
            key = (name, *map(_place, arguments))
            if key not in self._known:
                begun_s = time.process_time()
                self._known[key] = found(*arguments), time.process_time() - begun_s, arguments
            result, cost_s, _ = self._known[key]
            self.spent_s += cost_s
            return result

        return remembered

    def next_clip(self) -> None:
        """Forget what only the last clip needed."""
        self._known.clear()


def _place(value: Any) -> Any:
    """What tells an argument from others while `Remembering` keeps it alive: states by identity, the rest by value."""
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    return value if isinstance(value, int | str | tuple | Decoding | Glossary) else id(value)


@dataclass
class Point:
    """What one setting came to."""

    setting: Setting
    text: str
    hypotheses: list[str] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    calls: int = 0
    compute_s: float = 0.0
    bleu: float = 0.0
    chrf: float = 0.0
    laal_ms: float = 0.0


def play(point: Point, translator: Any, pcm: np.ndarray, reference: str) -> None:
    """Add one clip to `point`."""
    translator.spent_s = 0.0
    chunk_ms = point.setting.chunk_ms
    options = SessionOptions(chunk_ms=chunk_ms, speech=False)
    session: Session[Any, Any] = Session(translator, point.setting.make(), None, options)
    words: list[str] = []
    delays: list[float] = []
    step = session.sample_rate_hz * chunk_ms // 1000
    for events in (*(session.push(pcm[i : i + step]) for i in range(0, len(pcm), step)), session.finish()):
        for event in events:
            if isinstance(event, Words):
                words += event.words
                delays += [event.source_ms] * len(event.words)
            if isinstance(event, Finished):
                point.calls += event.decoder_calls
    point.hypotheses.append(" ".join(words))
    source_ms = 1000 * len(pcm) / session.sample_rate_hz
    point.utterances.append(Utterance(tuple(delays), source_ms, len(reference.split())))
    point.compute_s += translator.spent_s


def measure(
    manifest_path: Path, model: str, limit: int | None, policies: list[str], told: Callable[[str], None]
) -> Any:
    """All points on the clips of a manifest, and the seconds of audio."""
    pipeline = load(model, "cpu")
    translator: Any = Remembering(pipeline.translator)
    points = []
    for policy in (OFFLINE, *policies):
        try:
            Session(pipeline.translator, parse_policy(policy), None, SessionOptions(speech=False))
        except ConfigError as error:
            told(f"left out: {error}")
            continue
        for chunk_ms in CHUNKS_MS:
            points.append(Point(latency_setting("en", "de", "medium", policy), f"{policy} {chunk_ms} ms"))
            name, params = points[-1].setting.policy, points[-1].setting.params
            chosen = {key: value for key, value in params.items() if f"{key}=" in policy}
            points[-1].setting = Setting(name, chunk_ms, chosen)
    manifest = read_manifest(manifest_path, limit)
    references, audio_s = [], 0.0
    for number, clip in enumerate(manifest.clips, 1):
        pcm = np.concatenate(list(read_blocks(clip.path, pipeline.sample_rate_hz)))
        references.append(" ".join(str(r.translation) for r in clip.references))
        audio_s += len(pcm) / pipeline.sample_rate_hz
        for point in points:
            play(point, translator, pcm, references[-1])
        translator.next_clip()
        if number % 5 == 0:
            told(f"{number} of {len(manifest.clips)} clips")
    for point in points:
        point.bleu = sacrebleu_score("BLEU", point.hypotheses, references).value
        point.chrf = sacrebleu_score("chrF", point.hypotheses, references).value
        laal = corpus("LAAL", point.utterances)
        point.laal_ms = laal.value if laal else float("inf")
    return points, audio_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="en-de")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--policy", action="append", help="only these, as bench run takes them")
    parser.add_argument("--write", type=Path, help="the dial as JSON, to lie beside the translator")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    points, audio_s = measure(
        arguments.manifest, arguments.model, arguments.limit, arguments.policy or list(POLICIES), print
    )
    offline = max(point.bleu for point in points if OFFLINE in point.text)
    print("| setting | BLEU | % of offline | chrF | LAAL ms | decodes a second | RTF |\n|---|---|---|---|---|---|---|")
    for point in sorted(points, key=lambda p: p.laal_ms):
        share = 100 * point.bleu / offline if offline else 0.0
        print(f"| {point.text} | {point.bleu:.1f} | {share:.0f} | {point.chrf:.1f} | {point.laal_ms:.0f} "
              f"| {point.calls / audio_s:.2f} | {point.compute_s / audio_s:.3f} |")  # fmt: skip
    dial = {}
    for name, budget_ms in zip(LATENCY_NAMES, BUDGETS_MS, strict=True):
        within = [p for p in points if p.laal_ms <= budget_ms] or [min(points, key=lambda p: p.laal_ms)]
        best = max(within, key=lambda p: (p.bleu + p.chrf, -p.laal_ms))
        dial[name] = {
            "policy": best.setting.policy, "chunk_ms": best.setting.chunk_ms, "params": dict(best.setting.params)
        }  # fmt: skip
        print(f"{name}: {best.text}, BLEU {best.bleu:.1f}, LAAL {best.laal_ms:.0f} ms")
    if arguments.write:
        arguments.write.write_text(json.dumps({"en-de": dial}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
