"""Re-segmentation and long-form latency against the published tools, exhaustive search, and worked cases."""

import functools
import itertools
import json
import math
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.errors import InputError
from streamst.evaluate.log import clock
from streamst.evaluate.log.clock import Step
from streamst.evaluate.metrics import align
from streamst.evaluate.metrics.align import aswer, soft
from streamst.evaluate.metrics.longform import LONG_FORMULAS, Recording, ReferenceSegment, long_corpus, resegment
from streamst.evaluate.metrics.quality import sacrebleu_score

GOLDEN = Path(__file__).parent / "data/logs/longform"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
OMNISTEVAL = {  # values of the tool, the log they come from, our clock
    "OmniSTEval 0.1.10, raw SimulEval elapsed": ("instances.log", "simuleval"),
    "OmniSTEval 0.1.10, --fix_simuleval_emission_ca": ("instances.log", "omnisteval"),
    "OmniSTEval 0.1.10, instances_queue.log": ("instances_queue.log", "queue"),
    "OmniSTEval 0.1.10, metrics.jsonl": ("metrics.jsonl", "simulstream"),
}


def _references():
    pattern = r"wav: (\S+), offset: ([\d.]+), duration: ([\d.]+)"
    places = re.findall(pattern, (GOLDEN / "ref_segments.yaml").read_text(encoding="utf-8"))
    texts = (GOLDEN / "references.txt").read_text(encoding="utf-8").splitlines()
    found: dict[str, list[ReferenceSegment]] = {}
    for (wav, offset, duration), text in zip(places, texts, strict=True):
        found.setdefault(wav, []).append(ReferenceSegment(float(offset) * 1000, float(duration) * 1000, text))
    return found


def _lines(name):
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


def _from_instances(name, convention):
    recordings = []
    for line in _lines(name):
        delays = tuple(line["delays"])
        elapsed = tuple(line["elapsed"])
        if convention in clock.FROM_ELAPSED:
            elapsed = clock.from_elapsed(delays, elapsed, convention)
        references = _references()[Path(line["source"][0]).name]
        units = tuple(line["prediction"].split())
        recordings.append(Recording(units, delays, line["source_length"], tuple(references), elapsed))
    return recordings


def _from_events(convention):
    steps: dict[int, list[Step]] = {}
    names: dict[int, str] = {}
    for line in _lines("metrics.jsonl"):
        if "metadata" in line:
            names[line["id"]] = Path(line["metadata"]["wav_name"]).name
        elif "id" in line:
            heard, compute = line["total_audio_processed"] * 1000, line["computation_time"] * 1000
            tokens = tuple(line["generated_tokens"]), tuple(line["deleted_tokens"])
            steps.setdefault(line["id"], []).append(Step(heard, compute, *tokens))
    recordings = []
    for key, name in names.items():
        written = clock.final_units(steps[key])
        times = clock.unit_times(steps[key], convention)
        delays, end = written.delays_ms(steps[key]), steps[key][-1].heard_ms
        recordings.append(Recording(written.units, delays, end, tuple(_references()[name]), times))
    return recordings


def _segments(recordings, segmenter):
    return [segment for recording in recordings for segment in resegment(recording, segmenter)]


def test_minimum_edit_distance_gives_the_published_segments():
    segments = _segments(_from_instances("instances.log", "fbk"), "aswer")
    assert [{"ref": s.reference, "hyp": s.hypothesis} for s in segments] == EXPECTED["segments_aswer"]
    score = sacrebleu_score("BLEU", [s.hypothesis for s in segments], [s.reference for s in segments])
    assert score.value == pytest.approx(EXPECTED["values"]["BLEU (13a) after AS-WER segmentation"], rel=1e-9)


@pytest.mark.parametrize(
    ("tool", "name", "recordings"),
    [
        ("StreamLAAL, FBK", "StreamLAAL_fbk", functools.partial(_from_instances, "instances.log", "fbk")),
        ("StreamLAAL, FBK", "StreamLAAL_fbk", functools.partial(_from_events, "fbk")),
        ("StreamLAAL, simulstream", "StreamLAAL_simulstream", functools.partial(_from_events, "simulstream")),
    ],
)
def test_both_variants_of_stream_laal_give_the_values_of_their_tools(tool, name, recordings):
    expected = next(v for k, v in EXPECTED["values"].items() if k.startswith(tool))
    convention = name.removeprefix("StreamLAAL_")
    segments = _segments(recordings(), "aswer")
    ideal = long_corpus(name, segments, "aswer")
    aware = long_corpus(f"{name}_CA_{convention}", segments, "aswer")
    assert ideal is not None
    assert aware is not None
    assert ideal.value == pytest.approx(expected["nonCA"], rel=1e-6)
    assert aware.value == pytest.approx(expected["CA"], rel=1e-6)
    assert f"ca:{convention}" in aware.signature
    assert "segmenter:aswer-1" in aware.signature


@pytest.mark.parametrize("from_events", [False, True], ids=["log", "events"])
@pytest.mark.parametrize("tool", OMNISTEVAL)
def test_long_form_metrics_and_quality_give_the_values_of_omnisteval(tool, from_events):
    log, convention = OMNISTEVAL[tool]
    events = from_events or log == "metrics.jsonl"
    segments = _segments(_from_events(convention) if events else _from_instances(log, convention), "soft")
    compared = 0
    for key, value in EXPECTED["values"][tool].items():
        match = re.fullmatch(r"(Long\w+) \((CU|CA)\)", key)
        if match is None:
            score = sacrebleu_score(key, [s.hypothesis for s in segments], [s.reference for s in segments])
            assert score.value == pytest.approx(value, abs=5.1e-5)  # the tool prints four decimals
            continue
        name = match[1].replace("LongYAAL", "LongYAAL_omnisteval")
        got = long_corpus(name + (f"_CA_{convention}" if match[2] == "CA" else ""), segments, "soft")
        assert got is not None
        assert got.value == pytest.approx(value, rel=1e-6, abs=5.1e-5), key
        compared += 1
    assert compared == 10


def test_long_yaal_counts_what_is_written_after_the_last_segment_but_before_the_audio_ends():
    """The known difference: two words at 37 s, last segment until 36.1 s, audio until 40 s."""
    segments = _segments(_from_instances("instances.log", "omnisteval"), "soft")
    ours, theirs = (long_corpus(name, segments, "soft") for name in ("LongYAAL", "LongYAAL_omnisteval"))
    assert ours is not None
    assert theirs is not None
    assert ours.value > theirs.value
    last = segments[4]
    assert last.utterance.delays_ms[-2:] == (9500.0, 9500.0)
    assert (last.recording_end_ms, last.reference_end_ms) == (12500.0, 8600.0)


def test_units_before_their_segment_are_clipped_in_one_variant_of_stream_laal_only():
    references = (ReferenceSegment(0.0, 2000.0, "a b"), ReferenceSegment(3000.0, 1000.0, "c d"))
    recording = Recording(("a", "b", "c", "d"), (1000.0, 2000.0, 2500.0, 4000.0), 4000.0, references)
    segments = resegment(recording)
    assert segments[1].utterance.delays_ms == (-500.0, 1000.0)
    clipped, plain = (long_corpus(f"StreamLAAL_{v}", segments, "aswer") for v in ("fbk", "simulstream"))
    assert clipped is not None
    assert plain is not None
    assert clipped.value == ((1000 + 2000 - 1000) / 2 + (0 + 1000 - 500) / 2) / 2
    assert plain.value == ((1000 + 2000 - 1000) / 2 + (-500 + 1000 - 500) / 2) / 2


WORDS = st.lists(st.sampled_from(["a", "b", "c", "A", "."]), max_size=4)


@functools.cache
def _distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        _distance(a[1:], b) + 1, _distance(a, b[1:]) + 1, _distance(a[1:], b[1:]) + (a[0].lower() != b[0].lower())
    )


def _cost(references, hypothesis, borders):
    cuts = [0, *borders, len(hypothesis)]
    parts = zip(references, itertools.pairwise(cuts), strict=True)
    return sum(_distance(tuple(r), tuple(hypothesis[i:j])) for r, (i, j) in parts)


@settings(deadline=None)
@given(references=st.lists(WORDS, min_size=1, max_size=4), hypothesis=st.lists(WORDS, max_size=3))
def test_no_other_segmentation_has_fewer_word_errors(references, hypothesis):
    """AS-WER by its definition: all ways to put the borders, the edit distance of each segment on its own."""
    units = [word for part in hypothesis for word in part]
    owners = aswer(references, units)
    assert owners == sorted(owners)
    assert len(owners) == len(units)
    ours = [sum(owner <= k for owner in owners) for k in range(len(references) - 1)]
    every = itertools.combinations_with_replacement(range(len(units) + 1), len(references) - 1)
    assert _cost(references, units, ours) == min(_cost(references, units, borders) for borders in every)


@pytest.mark.parametrize(
    ("references", "hypothesis", "segments"),
    [
        ("a b|c d", "a b X c d", [0, 0, 0, 1, 1]),  # surplus at a border: before it
        ("(x)|z s t", "q e t", [0, 1, 1]),  # skipped reference words: as late as possible
        ("a b c|d e f", "a f", [0, 1]),
        ("a b .|A d", "a b a d", [0, 0, 1, 1]),  # case does not count
        ("a||b", "a X b", [0, 0, 2]),  # an empty reference gets nothing
        ("p|q", "X Y Z", [0, 1, 1]),
        ("a|b", "", []),
        ("|", "X Y", [0, 0]),  # no reference at all
    ],
)
def test_ties_are_broken_as_documented(references, hypothesis, segments):
    assert aswer([part.split() for part in references.split("|")], hypothesis.split()) == segments


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_rows_that_are_computed_again_give_the_same_alignment(rows, monkeypatch):
    random = Random(rows)
    for _ in range(40):
        references = [random.choices("abcd", k=random.randint(0, 9)) for _ in range(random.randint(1, 6))]
        hypothesis = random.choices("abcde", k=random.randint(0, 40))
        whole, softly = aswer(references, hypothesis), soft(references, hypothesis)
        with monkeypatch.context() as patched:
            patched.setattr(align, "BLOCK_ROWS", rows)
            assert aswer(references, hypothesis) == whole
            assert soft(references, hypothesis) == softly


SHORT_WORDS = st.lists(st.sampled_from("abc"), max_size=9)


@settings(deadline=None)
@given(references=st.lists(SHORT_WORDS, min_size=1, max_size=4), hypothesis=SHORT_WORDS)
def test_rows_of_bits_give_the_alignment_of_the_table_of_edit_distances(references, hypothesis):
    """The whole table, and the documented order of moves on the way back."""
    words = [(index, word) for index, part in enumerate(references) for word in part]
    table = [list(range(len(hypothesis) + 1))]
    for _, word in words:
        above, row = table[-1], [len(table)]
        for j, unit in enumerate(hypothesis):
            row.append(min(row[-1] + 1, above[j + 1] + 1, above[j] + (unit != word)))
        table.append(row)
    i, j = len(words), len(hypothesis)
    owners = [words[0][0] if words else 0] * j
    while i and j:
        if table[i][j] == table[i - 1][j] + 1:
            i -= 1
            continue
        alone = table[i][j] == table[i][j - 1] + 1
        j -= 1
        owners[j] = words[i - 1][0]
        i -= not alone
    assert aswer(references, hypothesis) == owners


def test_case_counts_when_asked():
    references, hypothesis = [["x", "a"], ["A", "y"]], ["x", "A", "y"]
    assert aswer(references, hypothesis, case_sensitive=True) == [0, 1, 1]
    assert aswer(references, hypothesis) == [0, 0, 1]


def _likeness(a, b):
    a, b = a.lower(), b.lower()
    if (a == ".") != (b == "."):
        return -math.inf
    return len(set(a) & set(b)) / len(set(a) | set(b))


SOFT_WORDS = st.lists(st.sampled_from(["der", "die", "rede", ".", "Dir", "xy"]), max_size=5)


@settings(deadline=None)
@given(references=st.lists(SOFT_WORDS, min_size=1, max_size=3), hypothesis=SOFT_WORDS)
def test_soft_alignment_reaches_the_largest_total_similarity(references, hypothesis):
    """Exhaustive search over monotone alignments; ours must allow one as good within its segments."""
    words = [(index, word) for index, part in enumerate(references) for word in part]
    owners = soft(references, hypothesis)
    assert owners == sorted(owners)
    assert len(owners) == len(hypothesis)

    @functools.cache
    def best(i, j, within):
        if i == len(words) or j == len(hypothesis):
            return 0.0
        index, word = words[i]
        options = [best(i + 1, j, within), best(i, j + 1, within)]
        if not within or owners[j] == index:
            options.append(best(i + 1, j + 1, within) + _likeness(word, hypothesis[j]))
        return max(options)

    assert best(0, 0, True) == pytest.approx(best(0, 0, False))


@pytest.mark.parametrize(
    ("references", "hypothesis", "segments"),
    [
        ("abc|xyz", "abc abd xyz", [0, 0, 1]),  # unaligned, more like the word before
        ("abc|xyz", "abc xyw xyz", [0, 1, 1]),  # unaligned, more like the word after
        ("abc|xyz", "abc xyw abd xyz", [0, 1, 1, 1]),  # never back again
        ("abc .|xyz", "abc , xyz", [0, 0, 1]),  # punctuation only with punctuation
        ("abc|xyz", ". abc xyz", [0, 0, 1]),  # nothing before: the first word's, not lost
        ("||abc", "x y", [2, 2]),
        ("|", "x y", [0, 0]),
        ("abc|", "", []),
    ],
)
def test_words_without_a_partner_go_to_the_more_similar_neighbour(references, hypothesis, segments):
    assert soft([part.split() for part in references.split("|")], hypothesis.split()) == segments


@pytest.mark.parametrize("lost", [0, 40, 150, 300])
@pytest.mark.parametrize("band_units", [20, 100])
def test_a_narrow_band_widens_until_it_holds_a_talk_that_lost_a_part(lost, band_units):
    """400 words in sentences of 20, a fifth of them changed, `lost` words missing at the start."""
    random = Random(lost)
    letters = "abcdefghijklmnopqrstuvwxyzäöü"
    words = ["".join(random.sample(letters, random.randint(2, 9))) for _ in range(400)]
    references = [words[i : i + 20] for i in range(0, 400, 20)]
    hypothesis = [random.choice(words) if random.random() < 0.2 else word for word in words[lost:]]
    narrow = soft(references, hypothesis, band_units=band_units)
    assert narrow == soft(references, hypothesis)
    right = sum(owner == i // 20 for i, owner in enumerate(narrow, start=lost))
    assert right > 0.9 * len(hypothesis)


def test_characters_of_chinese_align_exactly_and_join_without_spaces():
    references = (ReferenceSegment(0.0, 1000.0, "我们 好"), ReferenceSegment(1000.0, 1000.0, "再见 。"))
    recording = Recording(tuple("我们再见。"), (500.0, 500.0, 1500.0, 2000.0, 2000.0), 2000.0, references)
    for segmenter in ("aswer", "soft"):
        first, second = resegment(recording, segmenter, "char")
        assert (first.hypothesis, second.hypothesis) == ("我们", "再见。")
        assert (first.utterance.reference_units, second.utterance.reference_units) == (3, 3)
        assert second.utterance.delays_ms == (500.0, 1000.0, 1000.0)


def test_segments_without_output_are_counted_and_not_averaged():
    references = (ReferenceSegment(0.0, 1000.0, "a b"), ReferenceSegment(1000.0, 1000.0, "c d"))
    recording = Recording(("a", "b"), (500.0, 1000.0), 2000.0, references)
    result = long_corpus("StreamLAAL_fbk", resegment(recording), "aswer")
    assert result is not None
    assert "n:2|empty:1|undefined:0" in result.signature
    nothing = resegment(Recording((), (), 2000.0, references))
    assert all(long_corpus(name, nothing, "aswer") is None for name in LONG_FORMULAS)


def test_impossible_recordings_and_unknown_names_are_refused():
    references = (ReferenceSegment(0.0, 1000.0, "a"),)
    with pytest.raises(InputError, match="1 units but 2 delays"):
        Recording(("a",), (1.0, 2.0), 2000.0, references)
    with pytest.raises(InputError, match="at least one reference segment"):
        Recording(("a",), (1.0,), 2000.0, ())
    with pytest.raises(InputError, match="offset_ms of segment 'a' is nan"):
        ReferenceSegment(math.nan, 1.0, "a")
    recording = Recording(("a",), (1.0,), 2000.0, references)
    with pytest.raises(InputError, match="unknown segmenter 'mwer'; allowed: aswer, aswer-blanks, soft"):
        resegment(recording, "mwer")
    with pytest.raises(InputError, match="unknown long-form metric 'StreamLAAL'; known: StreamLAAL_fbk"):
        long_corpus("StreamLAAL", resegment(recording), "aswer")
    with pytest.raises(InputError, match="needs elapsed_ms"):
        long_corpus("LongAL_CA_queue", resegment(recording), "aswer")
