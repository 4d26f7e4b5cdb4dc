"""Under pressure things give way in order, one at a time, and come back when it is over."""

import numpy as np
import pytest

from streamst.engine import Batch
from streamst.models.seam import perform
from streamst.pipeline import Pipeline
from streamst.server.live import LiveStream
from streamst.server.metrics import Metrics
from streamst.server.pressure import (
    CHEAPER_POLICY,
    FALL_S,
    NO_MORE,
    RELAXED,
    RELIEF_CHUNK_MS,
    RISE_S,
    WIDER_CHUNKS,
    Pressure,
)
from streamst.server.seam import Answer, Audio, Settings
from streamst.session import Steps


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def work(pressure: Pressure, clock: Clock, seconds: float, share: float, waited_s: float = 0.0) -> list[int]:
    """Batches of a tenth of a second that fill `share` of the time; the levels seen."""
    levels = []
    for _ in range(round(seconds / 0.1)):
        clock.s += 0.1
        pressure.note(Batch("encode", 0.1 * share, (waited_s,)))
        levels.append(pressure.level)
    return levels


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_device_with_time_to_spare_gives_way_to_nothing(clock: Clock) -> None:
    pressure = Pressure(clock)
    assert set(work(pressure, clock, 60, 0.8)) == {RELAXED}
    assert pressure.utilisation == pytest.approx(0.8, abs=0.05)


def test_a_full_device_gives_way_step_by_step_and_recovers_more_slowly(clock: Clock) -> None:
    pressure = Pressure(clock)
    rising = work(pressure, clock, 30, 1.0)
    assert rising == sorted(rising)
    assert set(rising) == {RELAXED, WIDER_CHUNKS, CHEAPER_POLICY, NO_MORE}
    steps = [rising.index(level) for level in (WIDER_CHUNKS, CHEAPER_POLICY, NO_MORE)]
    assert min(np.diff(steps)) >= RISE_S / 0.1 - 1
    falling = work(pressure, clock, 60, 0.3)
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == RELAXED
    assert falling.index(RELAXED) - falling.index(WIDER_CHUNKS) >= FALL_S / 0.1 - 1


def test_work_that_waits_long_is_pressure_however_idle_the_device_seems(clock: Clock) -> None:
    pressure = Pressure(clock)
    assert work(pressure, clock, 30, 0.5, waited_s=2.0)[-1] == NO_MORE


def test_between_busy_and_calm_the_level_stays(clock: Clock) -> None:
    pressure = Pressure(clock)
    work(pressure, clock, 12, 1.0)
    reached = work(pressure, clock, 6, 0.85)[-1]
    assert reached > RELAXED
    assert set(work(pressure, clock, 30, 0.85)) == {reached}


def test_another_stream_fits_while_what_it_will_cost_is_free(clock: Clock) -> None:
    pressure = Pressure(clock)
    assert pressure.fits(0, 0)
    assert pressure.fits(3, 3)
    assert not pressure.fits(5, 5)  # nothing is known of their cost: a fifth of the device each
    work(pressure, clock, 30, 0.6)
    assert pressure.fits(6, 0)  # a tenth each
    assert pressure.fits(8, 2)
    assert not pressure.fits(9, 3)
    work(pressure, clock, 30, 1.0)
    assert not pressure.fits(1, 0)


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
            result = perform(steps.send(result), live.pipeline.translator, live.pipeline.voice)
        except StopIteration:
            return


def test_a_stream_asks_less_under_pressure_and_what_was_wanted_afterwards(tiny_pipeline: Pipeline) -> None:
    level = RELAXED
    live = LiveStream(tiny_pipeline, Metrics(), Settings(latency="low"), lambda: level)
    _finish(live, live.configure(Settings(latency="low")))
    assert live._running is not None
    session = live._running.session
    wanted = session.chunk_ms, session.policy
    assert session.chunk_ms < RELIEF_CHUNK_MS
    heard(live, 0, 2.0)
    assert (session.chunk_ms, session.policy) == wanted
    level = WIDER_CHUNKS
    heard(live, 1, 2.0)
    assert session.chunk_ms == RELIEF_CHUNK_MS
    assert session.policy == wanted[1]
    level = CHEAPER_POLICY
    heard(live, 2, 2.0)
    assert session.policy != wanted[1]
    level = RELAXED
    heard(live, 3, 2.0)
    assert session.chunk_ms == wanted[0]
    assert type(session.policy) is type(wanted[1])
    _finish(live, live.finish())
    assert live.summary()["samples"] == 4 * 2 * 16_000
