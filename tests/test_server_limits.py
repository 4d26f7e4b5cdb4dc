"""Who may come in and how fast: pure rules, a clock in hand."""

from __future__ import annotations

import asyncio
import socket

import pytest

from streamst.errors import ConfigError, ProtocolError
from streamst.server.operator.limits import SpeedGate, origin_allowed
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.session.inbox import Inbox
from streamst.server.session.sessions import Sessions
from streamst.server.wire.seam import Settings

HERE = ServerOptions(allowed_origins=("https://talks.example.org",))


def gate_fails_at(speed: float, burst_ms: float, pace: float, limit_s: float = 600.0) -> float | None:
    """When audio in pieces of 100 ms at `pace` times real time is refused [s], None when never."""
    gate = SpeedGate(speed, burst_ms)
    for piece in range(int(limit_s * pace * 10)):
        now_s = piece * 0.1 / pace
        try:
            gate.take(100.0, now_s)
        except ProtocolError:
            return now_s
    return None


def test_a_speaker_is_never_too_fast() -> None:
    assert gate_fails_at(speed=2.0, burst_ms=1000.0, pace=1.0) is None
    assert gate_fails_at(speed=2.0, burst_ms=1000.0, pace=1.99) is None


def test_audio_at_three_times_real_time_is_refused_once_the_burst_is_used_up() -> None:
    # The bucket of 10 s fills at 3 - 2 = 1 s of audio a second.
    assert gate_fails_at(speed=2.0, burst_ms=10_000.0, pace=3.0) == pytest.approx(10.0, abs=0.2)


def test_a_whole_burst_may_come_at_once_and_not_a_sample_more() -> None:
    gate = SpeedGate(2.0, 5000.0)
    gate.take(5000.0, 0.0)
    with pytest.raises(ProtocolError, match="faster than allowed: 2 times real time after the first 5 s") as caught:
        gate.take(1.0, 0.0)
    assert caught.value.code == 4413


def test_an_hour_of_silence_saves_up_no_more_than_the_burst() -> None:
    gate = SpeedGate(2.0, 5000.0)
    gate.take(100.0, 0.0)
    gate.take(5000.0, 3600.0)
    with pytest.raises(ProtocolError):
        gate.take(100.0, 3600.0)


def test_speed_zero_is_no_limit() -> None:
    assert gate_fails_at(speed=0.0, burst_ms=0.0, pace=1000.0, limit_s=1.0) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "anything.example.com"),  # not a browser
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://192.168.1.7", "192.168.1.7"),
        ("http://192.168.1.7", "192.168.1.7:80"),
        (f"http://{socket.gethostname().lower()}:8000", f"{socket.gethostname()}:8000"),
        ("https://talks.example.org", "talks.example.org"),
        ("https://talks.example.org", "127.0.0.1:8000"),  # behind a proxy that renames
        ("https://TALKS.example.org/", "127.0.0.1:8000"),
    ],
)
def test_our_own_page_an_allowed_one_and_what_is_no_browser_may_connect(origin: str | None, host: str) -> None:
    assert origin_allowed(origin, host, HERE)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example.com", "127.0.0.1:8000"),
        ("http://127.0.0.1:9000", "127.0.0.1:8000"),  # another program on this machine
        ("http://localhost:8000", "127.0.0.1:8000"),
        ("http://localhost", "localhost:8000"),
        ("null", "127.0.0.1:8000"),
        ("", "127.0.0.1:8000"),
        ("file://", "127.0.0.1:8000"),
        ("http://evil.example.com:8000", "evil.example.com:8000"),  # a foreign name made to resolve to us
        ("http://localhost.evil.example.com:8000", "localhost.evil.example.com:8000"),
        ("https://talks.example.org.evil.example.com", "127.0.0.1:8000"),
        ("http://talks.example.org", "127.0.0.1:8000"),  # not the scheme that was allowed
        ("http://127.0.0.1:notaport", "127.0.0.1:8000"),
        ("http://127.0.0.1:8000", None),
    ],
)
def test_any_other_page_may_not(origin: str, host: str | None) -> None:
    assert not origin_allowed(origin, host, HERE)


def test_a_star_lets_every_page_in() -> None:
    assert origin_allowed("https://evil.example.com", "127.0.0.1:8000", ServerOptions(allowed_origins=("*",)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"port": 70_000}, "port 70000 is not a port; allowed: 0 to 65535"),
        ({"tls_cert": "a.pem"}, "both tls_cert and tls_key"),
        ({"max_sessions": 0}, "max_sessions is 0; it must be at least 1"),
        ({"idle_s": 0.0}, "idle_s is 0.0; it must be above 0"),
        ({"drain_s": -1.0}, "drain_s is -1.0; it must not be negative"),
        ({"speed_limit": 0.5}, "speed_limit is 0.5"),
    ],
)
def test_an_impossible_option_is_named(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ServerOptions(**wrong)  # pyright: ignore[reportArgumentType]


class Clock:
    """A clock that stands until it is moved [s]."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def sessions(places: int, clock: Clock | None = None) -> Sessions:
    return Sessions(ServerOptions(max_sessions=places, reservation_s=20.0), Metrics(), clock or Clock())


def refusal(call: Sessions, token: str | None = None) -> int:
    with pytest.raises(ProtocolError) as caught:
        call.enter(token)
    return caught.value.code


def test_a_full_house_refuses_until_somebody_leaves() -> None:
    house = sessions(2)
    first = house.enter(None)
    house.enter(None)
    assert refusal(house) == 1013
    house.leave(first.session_id)
    house.enter(None)
    assert len(house) == 2


def test_leaving_twice_frees_one_place() -> None:
    house = sessions(2)
    first = house.enter(None)
    house.leave(first.session_id)
    house.leave(first.session_id)
    assert house.free == 2


def test_a_reserved_place_is_kept_for_its_token_and_the_token_works_once() -> None:
    house = sessions(1)
    token, kept = house.reserve(Settings(latency="low"))
    assert refusal(house) == 1013
    assert house.enter(token) == kept
    house.leave(kept.session_id)
    assert refusal(house, token) == 4401


def test_a_reservation_runs_out() -> None:
    clock = Clock()
    house = sessions(1, clock)
    token, _ = house.reserve(Settings())
    clock.now_s = 20.1
    assert house.free == 1
    assert refusal(house, token) == 4401


def test_a_token_that_was_never_given_opens_nothing() -> None:
    house = sessions(1)
    house.reserve(Settings())
    for token in ("", "x", "\u00e9", "\ud800"):
        assert refusal(house, token) == 4401
    assert house.free == 0


def test_a_server_that_stops_lets_nobody_in_and_waits_for_the_last_to_leave() -> None:
    async def stop() -> None:
        house = sessions(2)
        last = house.enter(None)
        draining = asyncio.create_task(house.drain(60.0))
        await house.draining.wait()
        assert refusal(house) == 1001
        assert not draining.done()
        house.leave(last.session_id)
        await asyncio.wait_for(draining, 10.0)

    asyncio.run(stop())


def test_a_full_inbox_makes_the_reader_wait_and_loses_nothing() -> None:
    async def fill() -> None:
        inbox: Inbox[int] = Inbox(max_bytes=10)
        inbox.put(1, 6)
        await asyncio.wait_for(inbox.room(), 10.0)
        inbox.put(2, 6)
        assert inbox.full
        room = asyncio.create_task(inbox.room())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not room.done()
        inbox.put(3)  # an end does not wait
        assert await inbox.get() == 1
        await asyncio.wait_for(room, 10.0)
        assert [await inbox.get(), await inbox.get()] == [2, 3]

    asyncio.run(fill())


def test_an_item_larger_than_the_inbox_is_taken_and_fills_it() -> None:
    async def oversize() -> None:
        inbox: Inbox[str] = Inbox(max_bytes=10)
        await asyncio.wait_for(inbox.room(), 10.0)
        inbox.put("large", 1000)
        assert inbox.full
        assert await inbox.get() == "large"
        assert not inbox.full

    asyncio.run(oversize())


def test_a_refused_client_is_told_how_long_it_will_be_until_somebody_leaves() -> None:
    clock = Clock()
    open_now = sessions(2, clock)
    first = [open_now.enter(None).session_id for _ in range(2)]
    assert open_now.wait_s == 30  # sessions of a minute, two of them
    clock.now_s += 20
    for session_id in first:
        open_now.leave(session_id)
    for _ in range(2):
        open_now.enter(None)
    with pytest.raises(ProtocolError, match="all 2 places are taken; try again in about 10 s") as caught:
        open_now.enter(None)
    assert caught.value.retry_after_s == 10


def test_who_does_not_fit_beside_the_others_is_refused_though_there_are_places() -> None:
    room = True
    busy = Sessions(ServerOptions(max_sessions=9), Metrics(), Clock(), lambda: room)
    busy.enter(None)
    room = False
    with pytest.raises(ProtocolError, match="the machine is busy with 1 speakers") as caught:
        busy.enter(None)
    assert caught.value.code == 1013
    room = True
    busy.enter(None)
