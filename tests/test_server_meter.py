"""The live meter: hand-worked cases, and equality with what a report computes from the same events."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.evaluate.log.clock import Step, step_times
from streamst.evaluate.metrics.latency import FORMULAS, Utterance
from streamst.evaluate.metrics.longform import LONG_FORMULAS, Segment
from streamst.events import Caption, Words
from streamst.server.room.meter import Meter
from streamst.server.wire.summary import Lags


def write(meter: Meter, source_ms: float, *words: str, compute_ms: float = 0.0, segment: int = 0) -> None:
    """One push that wrote `words` at its end."""
    if words:
        said = Words(lang="de", segment=segment, words=words, source_ms=source_ms, compute_ms=compute_ms)
        meter.written(said, lag_ms=compute_ms)
    meter.heard(source_ms, compute_ms)


def begin(meter: Meter, segment: int, start_ms: float) -> None:
    shown = Caption(lang="en", segment=segment, revision=0, stable="", source_ms=start_ms, compute_ms=0.0)
    meter.caption(replace(shown, start_ms=start_ms))


def test_nothing_is_known_before_the_first_word() -> None:
    meter = Meter()
    meter.heard(320.0, 10.0)
    reading = meter.reading()
    assert (reading.laal_ms, reading.al_ms, reading.laal_ca_ms, reading.start_offset_ms) == (None, None, None, None)
    assert (reading.words, reading.source_ms, reading.lag_ms) == (0, 320.0, None)
    assert reading.rtf == pytest.approx(10 / 320)


def test_a_hand_worked_stream() -> None:
    meter = Meter()
    write(meter, 1000.0, "eins")
    write(meter, 2000.0, "zwei")
    write(meter, 3000.0, "drei", "vier")
    # Four words in 3000 ms: the ideal writes one every 750 ms. Lags 1000, 2000 - 750, 3000 - 1500; the fourth word
    # comes after the first whose delay is the whole source, and does not count.
    reading = meter.reading()
    assert reading.laal_ms == pytest.approx((1000 + 1250 + 1500) / 3)
    assert reading.stream_laal_ms == reading.laal_ms == reading.al_ms
    assert reading.long_yaal_ms == pytest.approx((1000 + 1250 + 1500 + 750) / 4)  # which counts it
    assert reading.start_offset_ms == 1000.0
    assert reading.words == 4


def test_a_pause_between_two_sentences_is_neither_a_lag_nor_a_lead() -> None:
    def spoken(pause_ms: float) -> Meter:
        meter = Meter()
        begin(meter, 0, 0.0)
        write(meter, 1000.0, "eins")
        write(meter, 2000.0, "zwei")
        begin(meter, 1, 2000.0 + pause_ms)
        write(meter, 3000.0 + pause_ms, "drei", segment=1)
        write(meter, 4000.0 + pause_ms, "vier", segment=1)
        return meter

    assert spoken(60_000.0).reading().laal_ms == pytest.approx(spoken(0.0).reading().laal_ms)
    assert spoken(0.0).reading().laal_ms == pytest.approx((1000 + 2000 - 1000) / 2)


def test_the_computation_aware_value_waits_for_the_chunk_before() -> None:
    meter = Meter()
    write(meter, 1000.0, compute_ms=1500.0)  # busy until 2500
    write(meter, 2000.0, "eins", compute_ms=100.0)  # begun at 2500
    reading = meter.reading()
    assert reading.laal_ms == 2000.0
    assert reading.laal_ca_ms == 2600.0


def test_the_shares_of_the_delay_are_means_over_the_last_words() -> None:
    meter = Meter()
    meter.buffer_ms, meter.network_ms, meter.playback_ms = 3.0, 6.0, 80.0
    said = Words(lang="de", segment=0, words=("a", "b"), aligned_ms=(400.0, 600.0), source_ms=1000.0, compute_ms=20.0)
    meter.written(said, lag_ms=25.0)
    meter.heard(1000.0, 20.0)
    assert meter.reading().split == {"network": 6.0, "buffer": 3.0, "policy": 500.0, "compute": 20.0, "playback": 80.0}
    assert meter.reading().lag_ms == 25.0


def test_the_summary_ranks_lags() -> None:
    meter = Meter()
    for i in range(100):
        said = Words(lang="de", segment=0, words=("x",), source_ms=100.0 * (i + 1), compute_ms=1.0)
        meter.written(said, lag_ms=float(i + 1))
        meter.heard(100.0 * (i + 1), 1.0)
    assert meter.summary().lag_ms == Lags(p50=50.0, p95=95.0, p99=99.0)
    assert Meter().summary().lag_ms is None


steps = st.lists(
    st.tuples(st.floats(20, 2000), st.floats(0, 3000), st.integers(0, 4)), min_size=1, max_size=12
)  # audio [ms], compute [ms], words


@given(steps)
def test_the_meter_equals_the_report(pushes: list[tuple[float, float, int]]) -> None:
    meter = Meter()
    heard = 0.0
    delays: list[float] = []
    log: list[Step] = []
    for audio_ms, compute_ms, count in pushes:
        heard += audio_ms
        write(meter, heard, *(["wort"] * count), compute_ms=compute_ms)
        delays += [heard] * count
        log.append(Step(heard, compute_ms, ("wort",) * count))
    reading = meter.reading()
    scored = Utterance(tuple(delays), heard)
    assert reading.stream_laal_ms == FORMULAS["LAAL"].compute(scored)
    if delays:
        last = delays[-1]  # the segment's source is what was heard of it when it was written last
        assert reading.laal_ms == FORMULAS["LAAL"].compute(Utterance(tuple(delays), last))
        assert reading.al_ms == FORMULAS["AL"].compute(Utterance(tuple(delays), last))
        segment = Segment("", "", Utterance(tuple(delays), last), math.inf, math.inf)
        assert reading.long_yaal_ms == LONG_FORMULAS["LongYAAL"].compute(segment, segment.utterance)
        queue = [time for time, step in zip(step_times(log, "queue"), log, strict=True) for _ in step.written]
        expected = FORMULAS["LAAL"].compute(Utterance(tuple(queue), last))
        assert reading.laal_ca_ms == pytest.approx(expected)
