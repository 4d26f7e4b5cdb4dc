"""Under pressure things give way in order, one at a time, and come back when it is over."""

import sys
import threading

import numpy as np
import pytest

from streamst.engine import Batch
from streamst.models.seam import perform_all
from streamst.pipeline import Pipeline
from streamst.server.operator.metrics import Metrics
from streamst.server.room.costs import UNKNOWN_COST
from streamst.server.room.live import LiveStream
from streamst.server.room.pressure import (
    BUSY,
    CHEAPER_POLICY,
    FALL_S,
    FRESH_S,
    NO_MORE,
    RELAXED,
    RELIEF_CHUNK_MS,
    RISE_S,
    WIDER_CHUNKS,
    Pressure,
    behind,
)
from streamst.server.wire.seam import Answer, Audio, Settings
from streamst.session import Steps


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def work(pressure: Pressure, clock: Clock, seconds: float, streams: int, cost: float, late_s: float = 0.0) -> list[int]:
    """Streams in real time, of which a second costs `cost` seconds of work; the levels seen every 0.1 s."""
    levels = []
    for _ in range(round(seconds / 0.1)):
        clock.s += 0.1
        pressure.worked(Batch("encode", 0.1 * cost * streams, (0.0,) * streams))
        for stream in range(streams):
            pressure.heard(stream, 0.1, late_s)
        levels.append(pressure.level)
    return levels


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_device_with_time_to_spare_gives_way_to_nothing(clock: Clock) -> None:
    pressure = Pressure(clock)
    assert set(work(pressure, clock, 60, 4, 0.18)) == {RELAXED}
    assert 0.5 < pressure.demand < 4 * 0.18  # they share batches


def test_a_full_device_gives_way_step_by_step_and_recovers_more_slowly(clock: Clock) -> None:
    pressure = Pressure(clock)
    rising = work(pressure, clock, 30, 10, 0.12)
    assert rising == sorted(rising)
    assert set(rising) == {RELAXED, WIDER_CHUNKS, CHEAPER_POLICY, NO_MORE}
    steps = [rising.index(level) for level in (WIDER_CHUNKS, CHEAPER_POLICY, NO_MORE)]
    assert min(np.diff(steps)) >= RISE_S / 0.1 - 1
    for stream in range(10):
        pressure.ended(stream)
    falling = work(pressure, clock, 60, 2, 0.12)
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == RELAXED
    assert falling.index(RELAXED) - falling.index(WIDER_CHUNKS) >= FALL_S / 0.1 - 1


def test_when_everybody_has_left_the_next_crowd_is_let_in(clock: Clock) -> None:
    pressure = Pressure(clock)
    assert work(pressure, clock, 30, 2, 0.1, late_s=2.0)[-1] == NO_MORE
    for stream in range(2):
        pressure.ended(stream)
    clock.s += 0.1
    for stream in range(4):
        assert pressure.room
        pressure.began(stream)
    assert pressure.level == RELAXED


def test_streams_that_fall_behind_are_pressure_however_idle_the_device_seems(clock: Clock) -> None:
    pressure = Pressure(clock)
    assert work(pressure, clock, 30, 2, 0.1, late_s=2.0)[-1] == NO_MORE


def test_who_sends_faster_than_real_time_is_no_pressure(clock: Clock) -> None:
    pressure = Pressure(clock)
    for number in range(600):
        clock.s += 0.1
        pressure.worked(Batch("encode", 0.1, (0.0,)))  # all of the device's time
        late_s = behind(clock.s, arrived_s=1.0, first_s=0.0, heard_s=0.5 * number)
        pressure.heard("file", 0.5, late_s)
        assert pressure.level == RELAXED
    assert pressure.demand == pytest.approx(0.2, rel=0.01)
    assert pressure.room


@pytest.mark.parametrize(
    ("now_s", "arrived_s", "heard_s", "late_s"),
    [
        (10.0, 9.5, 9.5, 0.5),  # in real time: as late as it has waited
        (10.0, 1.0, 30.0, 0.0),  # a file: far behind what was sent, ahead of real time
        (10.0, 1.0, 7.0, 3.0),  # a file that is heard too slowly
        (100.0, 99.9, 20.0, 0.1),  # nothing came for a while
    ],
)
def test_how_late_audio_is_heard(now_s: float, arrived_s: float, heard_s: float, late_s: float) -> None:
    assert behind(now_s, arrived_s, 0.0, heard_s) == pytest.approx(late_s)


def test_between_busy_and_calm_the_level_stays(clock: Clock) -> None:
    pressure = Pressure(clock)
    work(pressure, clock, 5, 10, 0.1)
    reached = work(pressure, clock, 15, 10, 0.085)[-1]
    assert reached > RELAXED
    assert set(work(pressure, clock, 30, 10, 0.085)) == {reached}


def test_another_stream_fits_while_what_it_will_cost_is_free(clock: Clock) -> None:
    pressure = Pressure(clock)
    for stream in range(int(BUSY / UNKNOWN_COST)):
        assert pressure.room
        pressure.began(stream)
    assert not pressure.room  # nothing is known of their cost yet: UNKNOWN_COST each
    clock.s += FRESH_S  # they say nothing
    work(pressure, clock, 30, 4, 0.1)
    for stream in range(4, 8):
        assert pressure.room
        pressure.began(stream)
    for stream in range(8, 10):
        pressure.began(stream)
    assert not pressure.room
    clock.s += FRESH_S
    assert pressure.room


def heard(live: LiveStream, number: int, seconds: float) -> None:
    noise = np.random.default_rng(number).standard_normal(int(16_000 * seconds)) * 3000
    steps = live.hear(Audio("pcm16", number, 0, noise.astype("<i2").tobytes()), 0.0)
    while True:
        _finish(live, steps)
        if not live.waiting:
            return
        steps = live.step()


def _finish(live: LiveStream, steps: Steps[list[Answer]]) -> None:
    result = None
    while True:
        try:
            (result,) = perform_all([steps.send(result)], live.pipeline.models)
        except StopIteration:
            return


class Given(Pressure):
    """A level that a test gives."""

    given = RELAXED

    @property
    def level(self) -> int:
        return self.given


def test_a_stream_asks_less_under_pressure_and_what_was_wanted_later(tiny_pipeline: Pipeline, clock: Clock) -> None:
    pressure = Given(clock)
    live = LiveStream(tiny_pipeline, Metrics(), Settings(latency="low"), pressure)
    _finish(live, live.configure(Settings(latency="low")))
    assert live._running is not None
    session = live._running.session
    wanted = session.chunk_ms, session.policy
    assert session.chunk_ms < RELIEF_CHUNK_MS
    heard(live, 0, 2.0)
    assert (session.chunk_ms, session.policy) == wanted
    pressure.given = WIDER_CHUNKS
    heard(live, 1, 2.0)
    assert session.chunk_ms == RELIEF_CHUNK_MS
    assert session.policy == wanted[1]
    pressure.given = CHEAPER_POLICY
    heard(live, 2, 2.0)
    assert session.policy != wanted[1]
    pressure.given = RELAXED
    heard(live, 3, 2.0)
    assert session.chunk_ms == wanted[0]
    assert type(session.policy) is type(wanted[1])
    _finish(live, live.finish())
    assert live.summary().samples == 4 * 2 * 16_000


def test_a_stream_that_may_not_be_relieved_asks_what_was_wanted_whatever_the_pressure(
    tiny_pipeline: Pipeline, clock: Clock
) -> None:
    pressure = Given(clock)
    live = LiveStream(tiny_pipeline, Metrics(), Settings(latency="low"), pressure, relieve=False)
    _finish(live, live.configure(Settings(latency="low")))
    assert live._running is not None
    session = live._running.session
    wanted = session.chunk_ms, session.policy
    pressure.given = CHEAPER_POLICY
    heard(live, 0, 2.0)
    assert (session.chunk_ms, session.policy) == wanted


def test_one_thread_may_work_while_another_asks(clock: Clock) -> None:
    pressure = Pressure(clock)
    pressure.began("a")
    pressure.heard("a", 10.0, 0.0)
    interval_s = sys.getswitchinterval()
    failed: list[Exception] = []

    def works() -> None:
        for number in range(200):
            pressure.worked(Batch(f"kind {number}", 0.001, (0.0,)))

    thread = threading.Thread(target=works)
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        while thread.is_alive() and not failed:
            try:
                assert pressure.demand >= 0.0
            except (RuntimeError, ZeroDivisionError) as error:
                failed.append(error)
    finally:
        sys.setswitchinterval(interval_s)
        thread.join()
    assert not failed
