"""Latency formulas against the values of other tools, a literal reading of the definitions, and at the edges."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.errors import InputError
from streamst.evaluate.log.units import split_units, unit_of
from streamst.evaluate.metrics import latency
from streamst.evaluate.metrics.latency import FORMULAS, Utterance, computation_aware, yet_another_average_lagging

TESTS = Path(__file__).parent
GOLDEN = [p for p in (TESTS / "data/golden", TESTS.parents[1] / "shared/golden") if (p / "latency.json").is_file()]
CASES = [
    pytest.param(case, id=f"{path.parent.name}-{case['id']}-{case['kind']}")
    for path in GOLDEN
    for case in json.loads((path / "latency.json").read_text(encoding="utf-8"))["cases"]
]
TEXT_TO_TEXT = json.loads((TESTS / "data/golden/latency.json").read_text(encoding="utf-8"))["t2t"]
TOLERANCE = {"simuleval==1.1.4": 1e-6, "OmniSTEval==0.1.10": 1e-6, "simulstream==1.0.0": 1e-6}
FBK = "FBK-fairseq@4cd7c6dc LAAL_metric.py"


def _utterance(case, reference_units):
    return Utterance(tuple(case["delays_ms"]), case["source_length_ms"], reference_units, tuple(case["elapsed_ms"]))


def _value(name, u):
    """Our value of a tool's metric name, or ... for one that is defined otherwise (its RTF) or tested elsewhere."""
    base = name.removesuffix("_CA")
    if base != name:
        u = computation_aware(u)
    if base.endswith("_no_ref_len"):
        base, u = base.removesuffix("_no_ref_len"), replace(u, reference_units=None)
    if base == "LongYAAL_no_recording_end":
        return yet_another_average_lagging(u, math.inf)
    if base == "LongYAAL_recording_end_eq_source":
        return yet_another_average_lagging(u)
    return FORMULAS[base].compute(u) if base in FORMULAS else ...


@pytest.mark.parametrize("case", CASES)
def test_every_formula_gives_the_values_of_the_published_tools(case):
    compared = 0
    for tool, expected in case["expected"].items():
        length = expected.get("reference_length_used", expected.get("target_length_used"))
        if length is None:  # FBK counts as SimulEval does
            length = case["expected"]["simuleval==1.1.4"]["reference_length_used"]
        for name, value in expected.items():
            got = _value(name, _utterance(case, length))
            if got is ...:
                continue
            compared += 1
            if value == "nan":
                assert got is None, (tool, name)
            else:
                assert got == pytest.approx(value, rel=TOLERANCE.get(tool, 1e-5), abs=1e-9), (tool, name)
    assert compared >= 20


@pytest.mark.parametrize("case", TEXT_TO_TEXT, ids=lambda case: case["id"])
def test_text_to_text_delays_in_words_use_the_same_formulas(case):
    u = Utterance(tuple(case["delays"]), case["source_length"], len(case["reference"].split()))
    expected = case["expected"]["simuleval==1.1.4"]
    for name in ("AP", "AL", "LAAL", "DAL"):
        assert FORMULAS[name].compute(u) == pytest.approx(expected[name], rel=1e-6)


# A literal reading of the definitions, in exact fractions.


def _lagging(delays, source, length, last):
    return sum(d - i * source / length for i, d in enumerate(delays[:last])) / last


def _first_at_end(delays, source):
    return next((i for i, d in enumerate(delays, start=1) if d >= source), len(delays))


def _literal(name, delays, source, reference):
    written = len(delays)
    if not written:
        return None
    if name == "AP":
        return sum(delays) / (source * reference) if reference and source else None
    if name in ("AL", "LAAL"):
        length = reference if name == "AL" else max(written, reference)
        if not length:
            return None
        return delays[0] if delays[0] > source else _lagging(delays, source, length, _first_at_end(delays, source))
    if name == "DAL":
        paced = [delays[0]]
        for d in delays[1:]:
            paced.append(max(d, paced[-1] + source / written))
        return _lagging(paced, source, written, written)
    before = [i for i, d in enumerate(delays, start=1) if d < source and max(delays[:i]) < source]
    return _lagging(delays, source, max(written, reference), len(before)) if before else None


DELAYS = st.lists(st.integers(0, 5000), max_size=12)


@settings(deadline=None)
@given(delays=DELAYS, source=st.integers(0, 4000), reference=st.integers(0, 15), monotone=st.booleans())
def test_formulas_equal_a_literal_reading_of_the_definitions(delays, source, reference, monotone):
    delays = sorted(delays) if monotone else delays
    exact = [Fraction(d) for d in delays]
    u = Utterance(tuple(map(float, delays)), float(source), reference)
    for name in ("AP", "AL", "LAAL", "DAL", "YAAL"):
        expected = _literal(name, exact, Fraction(source), reference)
        got = FORMULAS[name].compute(u)
        if expected is None:
            assert got is None, name
        else:
            assert got == pytest.approx(float(expected), rel=1e-9, abs=1e-6), name


def test_an_offline_system_has_laal_of_the_source_length_and_no_yaal():
    u = Utterance((3000.0,) * 4, 3000.0, 4)
    assert latency.length_adaptive_average_lagging(u) == 3000.0
    assert latency.yet_another_average_lagging(u) is None
    assert latency.average_proportion(u) == 1.0


def test_an_empty_output_has_no_latency_and_is_counted():
    spoken, empty = Utterance((1000.0, 2000.0), 2000.0, 2), Utterance((), 2000.0, 2)
    for name in FORMULAS:
        assert FORMULAS[name].compute(empty) is None
    result = latency.corpus("LAAL", [spoken, empty, empty])
    assert result is not None
    assert result.value == latency.length_adaptive_average_lagging(spoken)
    assert "n:3|empty:2|undefined:0" in result.signature
    assert latency.count_empty([spoken, empty, empty]).value == 2


def test_a_corpus_of_empty_outputs_has_no_value_rather_than_a_low_one():
    empty = [Utterance((), 2000.0, 3)] * 2
    assert all(latency.corpus(name, empty) is None for name in FORMULAS)
    assert latency.count_empty(empty).value == 2


def test_an_empty_reference_leaves_al_and_ap_undefined_but_not_laal():
    u = Utterance((1000.0, 2000.0), 3000.0, 0)
    assert latency.average_lagging(u) is None
    assert latency.average_proportion(u) is None
    assert latency.length_adaptive_average_lagging(u) == 750.0
    result = latency.corpus("AL", [u, replace(u, reference_units=2)])
    assert result is not None
    assert "n:2|empty:0|undefined:1" in result.signature


def test_a_signature_names_unit_tau_length_rule_clock_and_version():
    u = Utterance((1000.0,), 2000.0, 1, (1200.0,))
    result = latency.corpus("LAAL_CA_queue", [u])
    assert result is not None
    assert (result.value, result.unit) == (1200.0, "ms")
    parts = dict(part.split(":", 1) for part in result.signature.split("|"))
    assert parts["ca"] == "queue"
    assert parts["tau"] == "first>=X,inclusive"
    assert parts["reflen"] == "max(hyp,ref)"
    assert parts["unit"] == "word"
    assert parts["version"].startswith("streamst-")


@settings(deadline=None)
@given(delays=st.lists(st.integers(0, 3000), min_size=1, max_size=8).map(sorted), heard=st.integers(1, 3000))
def test_the_live_meter_is_the_metric_of_the_stream_so_far(delays, heard):
    so_far = [float(d) for d in delays if d <= heard]
    u = Utterance(tuple(so_far), float(heard), len(so_far))
    for name in ("AL", "LAAL", "DAL", "AP"):
        assert latency.running(name, so_far, float(heard)) == FORMULAS[name].compute(u)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((math.nan,), 1000.0, 1), r"delays_ms\[0\] is nan"),
        (((1.0, math.inf), 1000.0, 1), r"delays_ms\[1\] is inf"),
        (((1.0,), math.nan, 1), "source_ms is nan"),
        (((1.0,), -1.0, 1), "source_ms is -1.0"),
        (((1.0,), 1000.0, -1), "reference_units is -1"),
        (((1.0, 2.0), 1000.0, 1, (3.0,)), "2 delays but 1 elapsed"),
    ],
)
def test_impossible_numbers_are_refused_by_name(arguments, message):
    with pytest.raises(InputError, match=message):
        Utterance(*arguments)


@pytest.mark.parametrize(
    ("u", "units", "message"),
    [
        (Utterance((1000.0, 900.0), 2000.0, 2), None, "log:7: delay 1 is 900 ms after 1000 ms"),
        (Utterance((-1.0,), 2000.0, 2), None, "log:7: delay 0 is -1 ms"),
        (Utterance((1000.0,), 2000.0, 2, (999.0,)), None, "log:7: elapsed 0 is 999 ms, before its delay"),
        (Utterance((1000.0,), 2000.0, 2), 3, "log:7: 3 units but 1 delays"),
    ],
)
def test_what_no_live_system_produces_is_refused_with_its_place(u, units, message):
    with pytest.raises(InputError, match=message):
        latency.check(u, "log:7", units)


def test_a_delay_at_the_very_end_passes_the_check_despite_rounding():
    latency.check(Utterance((1000.0, 4975.000000001), 4975.0, 2, (1000.0, 5100.0)), units=2)


def test_computation_aware_latency_without_elapsed_times_is_refused():
    with pytest.raises(InputError, match="needs elapsed_ms"):
        latency.corpus("AL_CA_queue", [Utterance((1.0,), 2.0, 1)])


@pytest.mark.parametrize("name", ["LAL", "LAAL_CA_", "laal", ""])
def test_an_unknown_metric_is_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match="known: AP, AL, LAAL"):
        latency.corpus(name, [Utterance((1.0,), 2.0, 1)])


def test_units_are_split_at_every_unicode_white_space():
    assert split_units("ein\u00a0Haus\tund\u3000ein  Hund \n") == ("ein", "Haus", "und", "ein", "Hund")
    assert split_units("我们 OK\u3000吧", "char") == ("我", "们", "O", "K", "吧")
    assert split_units("か\u3099", "char") == ("か\u3099",)
    assert split_units("", "char") == ()
    assert [unit_of(code) for code in ("de", "zh", "zh-Hant", "ja_JP", "en-US")] == [
        "word", "char", "char", "char", "word",
    ]  # fmt: skip


@settings(deadline=None)
@given(st.text())
def test_no_unit_contains_white_space_and_no_visible_character_is_lost(text):
    for unit in ("word", "char"):
        units = split_units(text, unit)
        assert not any(c.isspace() for u in units for c in u)
        assert "".join(units) == "".join(text.split())
