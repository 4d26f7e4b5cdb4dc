"""Word by word: alignment, ear-voice span, what comes after the speech, silences of playback, erasure of a clip."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from streamst.evaluate.formats.detect import Log
from streamst.evaluate.log.clock import Step
from streamst.evaluate.log.manifest import Reference
from streamst.evaluate.log.recording import Recording, SpeechChunk, from_lines, replay
from streamst.evaluate.log.runlog import event_json
from streamst.evaluate.metrics.speech import SpokenUtterance, corpus, per_utterance
from streamst.evaluate.metrics.word_align import align_words
from streamst.evaluate.report.score import Score, ScoreOptions, score
from streamst.evaluate.report.spans import after_speech, speech_end
from streamst.events import Caption

FAST = ScoreOptions(resamples=100)
LEXICON = {
    "the": "die", "dog": "hund", "sees": "sieht", "cat": "katze", "big": "große", "today": "heute", "we": "wir",
    "eat": "essen", "bread": "brot", "here": "hier",
}  # fmt: skip


def shuffled(seed: int, swaps: bool) -> tuple[list[tuple[list[str], list[str]]], list[list[int]]]:
    """Sentences, their word-by-word translations with two neighbours swapped, and the true alignments."""
    chance = random.Random(seed)
    pairs, truth = [], []
    for _ in range(80):
        source = chance.sample(list(LEXICON), 6)
        order = list(range(6))
        if swaps:
            at = chance.randrange(5)
            order[at], order[at + 1] = order[at + 1], order[at]
        pairs.append((source, [LEXICON[source[i]] for i in order]))
        truth.append(order)
    return pairs, truth


def test_words_are_aligned_by_what_they_mean_where_the_log_is_enough_to_learn_it() -> None:
    pairs, truth = shuffled(1, swaps=True)
    found = align_words(pairs)
    right = sum(a == b for mine, true in zip(found, truth, strict=True) for a, b in zip(mine, true, strict=True))
    assert right > 0.97 * 480


def test_a_single_pair_is_aligned_along_the_diagonal_and_a_name_to_itself() -> None:
    assert align_words([(["a", "b", "c", "d"], ["w", "x", "y", "z"])]) == [(0, 1, 2, 3)]
    (found,) = align_words([(["yesterday", "Peter", "slept", "well"], ["Peter", "schlief", "gestern", "gut"])])
    assert found[0] == 1


def test_a_side_without_words_aligns_nothing_and_keeps_its_place() -> None:
    pairs = [(["a"], []), ([], ["x", "y"]), (["b"], ["z"])]
    assert align_words(pairs) == [(), (None, None), (0,)]
    assert align_words([([], ["x"])]) == [(None,)]


def test_the_learned_shares_are_those_of_the_model_written_out() -> None:
    """One round by hand in loops, against the arrays."""
    from streamst.evaluate.metrics import word_align

    pairs = [(["a", "b"], ["x", "y", "x"]), (["b"], ["y"])]
    cells = word_align._cells(pairs)
    share = word_align._learned(cells)
    table: dict[tuple[str, str], float] = {}
    expected: list[float] = []
    for _ in range(word_align.ROUNDS):
        counts: dict[tuple[str, str], float] = {}
        expected = []
        for source, target in pairs:
            for j, word in enumerate(target, start=1):
                near = [np.exp(-4.0 * abs(i / len(source) - j / len(target))) for i in range(1, len(source) + 1)]
                prior = [0.08, *(0.92 * one / sum(near) for one in near)]
                weights = [p * table.get((s, word), 1.0) for p, s in zip(prior, ["", *source], strict=True)]
                for s, weight in zip(["", *source], weights, strict=True):
                    expected.append(weight / sum(weights))
                    counts[s, word] = counts.get((s, word), 0.0) + weight / sum(weights)
        totals: dict[str, list[float]] = {}
        for (s, _), count in counts.items():
            totals.setdefault(s, []).append(count)
        table = {
            (s, word): (count + 0.01) / (sum(totals[s]) + 0.01 * len(totals[s])) for (s, word), count in counts.items()
        }
    assert share == pytest.approx(expected)


# ---- ear-voice span ----


def clip(delays_ms: list[float], heard: bool, index: int = 0, source_ms: float = 4000.0) -> Recording:
    """Four words, each a second long, written at `delays_ms`."""
    words = ("eins", "zwei", "drei", "vier")
    spans = tuple((word, 1000.0 * i, 1000.0 * i + 800.0) for i, word in enumerate(("one", "two", "three", "four")))
    return Recording(
        index, f"{index}.wav", f"made up:{index + 1}", source_ms, words, tuple(delays_ms),
        references=(Reference(0.0, source_ms, "aaaa bbbb cccc dddd", "eins zwei drei vier"),),
        heard=spans if heard else (),
    )  # fmt: skip


def judged(*recordings: Recording) -> Score:
    return score(Log(Path("made up"), "streamst", recordings, 0), FAST)


def test_the_span_is_from_the_end_of_the_source_word_to_the_written_one() -> None:
    """Hand-worked: words end at 800, 1800, 2800, 3800 where the log tells, and at whole seconds where it does not."""
    delays = [1300.0, 2500.0, 4000.0, 4000.0]
    told = judged(clip(delays, heard=True))
    spans = [500.0, 700.0, 1200.0, 200.0]
    for rank in (50, 90, 99):
        assert told.metrics[f"EVS_p{rank}"].value == pytest.approx(np.percentile(spans, rank))
    assert "source_times:heard" in told.metrics["EVS_p50"].signature
    spread = judged(clip(delays, heard=False))
    assert spread.metrics["EVS_p50"].value == pytest.approx(np.median([300.0, 500.0, 1000.0, 0.0]))
    assert "source_times:even" in spread.metrics["EVS_p50"].signature
    assert spread.rows[0].values["EVS"] == spread.metrics["EVS_p50"].value


def test_percentiles_are_over_words_and_not_over_recordings() -> None:
    found = judged(clip([1800.0, 2800.0, 3800.0, 4000.0], True), clip([800.0, 1800.0, 2800.0, 3800.0], True, 1))
    spans = [1000.0, 1000.0, 1000.0, 200.0, 0.0, 0.0, 0.0, 0.0]
    assert found.metrics["EVS_p90"].value == pytest.approx(np.percentile(spans, 90))
    assert "words:8|" in found.metrics["EVS_p90"].signature


def test_a_log_without_source_words_has_no_span() -> None:
    bare = Recording(0, "a.wav", "made up:1", 1000.0, ("eins",), (900.0,))
    assert not [name for name in judged(bare).metrics if name.startswith("EVS")]


def test_where_words_were_heard_survives_the_log() -> None:
    said = Caption(
        source_ms=900.0, compute_ms=1.0, lang="en", segment=0, revision=0, stable="good", unstable="morning",
        spans_ms=((100.0, 300.0), (320.0, 800.0)),
    )  # fmt: skip
    begin = {
        "type": "begin", "id": 0, "path": "a.wav", "source_ms": 1000.0, "source": "en", "target": "de",
        "clock": "simulated", "written": "words", "task": "st", "references": [],
    }  # fmt: skip
    push = {"type": "push", "id": 0, "audio_ms": 900.0, "start_ms": 0.0, "end_ms": 1.0, "events": [event_json(said)]}
    end = {"type": "end", "id": 0, "steps": 1}
    found = from_lines(json.loads(json.dumps([begin, push, end])), "test")
    assert found.heard == (("good", 100.0, 300.0), ("morning", 320.0, 800.0))
    assert speech_end(found) == 800.0


# ---- after the speech, erasure, silences ----


def test_what_comes_after_the_speech_is_counted_in_words_and_time() -> None:
    late = after_speech(clip([1000.0, 3900.0, 4000.0, 4000.0], heard=True), ("",))
    assert late == {"AfterSpeech": 200.0, "WordsAfterSpeech": 3.0}
    early = after_speech(clip([1000.0, 2000.0, 3000.0, 3500.0], heard=True), ("",))
    assert early == {"AfterSpeech": 0.0, "WordsAfterSpeech": 0.0}
    both = judged(clip([1000.0, 3900.0, 4000.0, 4000.0], True), clip([1000.0, 2000.0, 3000.0, 3500.0], True, 1))
    assert both.metrics["AfterSpeech"].value == 100.0
    assert both.percentiles["AfterSpeech"]["p50"] == 100.0


def erasing(index: int, kept: int, deleted: int) -> Recording:
    words = tuple(f"w{i}" for i in range(kept))
    steps = (
        Step(1000.0, 1.0, (*words, *["x"] * deleted)),
        Step(2000.0, 1.0, (), ("x",) * deleted),
    )
    units, delays = replay(steps, "made up")
    return Recording(index, f"{index}.wav", f"made up:{index}", 2000.0, units, delays, steps=steps)


def test_erasure_is_known_of_each_clip_and_of_all_together_by_their_words() -> None:
    found = judged(erasing(0, 4, 2), erasing(1, 1, 3))
    assert [row.values["NE"] for row in found.rows] == [0.5, 3.0]
    assert found.metrics["NE"].value == 1.0
    low, high = found.intervals["NE"]
    assert 0.5 <= low <= 1.0 <= high <= 3.0


@pytest.mark.parametrize(
    ("gaps_ms", "longest_ms", "continuous"),
    [((), 0.0, 100.0), ((99.0, 100.0), 100.0, 100.0), ((20.0, 101.0), 101.0, 0.0)],
)
def test_continuity_is_judged_by_the_longest_silence(
    gaps_ms: tuple[float, ...], longest_ms: float, continuous: float
) -> None:
    starts = list(itertools.accumulate((gap + 200.0 for gap in gaps_ms), initial=500.0))
    spoken = SpokenUtterance(tuple(starts), (200.0,) * len(starts), 3000.0)
    assert per_utterance("DiscontinuityMax", [spoken]) == [pytest.approx(longest_ms)]
    assert per_utterance("C100", [spoken]) == [continuous]


def test_c100_is_a_share_of_the_recordings_and_every_silence_stands_in_the_report() -> None:
    smooth = SpokenUtterance((500.0, 700.0), (200.0, 200.0), 3000.0)
    broken = SpokenUtterance((500.0, 1700.0), (200.0, 200.0), 3000.0)
    found = corpus("C100", [smooth, broken, SpokenUtterance((), (), 3000.0)])
    assert found is not None
    assert (found.value, found.unit) == (50.0, "%")
    spoken = Recording(
        0, "a.wav", "made up:1", 3000.0, ("a", "b"), (500.0, 1700.0), output="both",
        speech=(SpeechChunk(500.0, 200.0), SpeechChunk(1700.0, 200.0)),
    )  # fmt: skip
    report = judged(spoken)
    assert report.as_json()["gaps_ms"] == {"a.wav": [(700.0, 1000.0)]}
    assert report.metrics["C100_speech"].value == 0.0
