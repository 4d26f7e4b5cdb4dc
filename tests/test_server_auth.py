"""Who may begin a session, how many, and who may read its report."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamst.errors import ConfigError, InputError, ProtocolError
from streamst.events import Words
from streamst.server.app import _tls
from streamst.server.operator.auth import Admission, ApiKey, load_keys, make_key
from streamst.server.operator.options import ServerOptions
from streamst.server.session.qoe import Listener
from streamst.server.session.replay import Replay
from streamst.server.session.reports import Reports
from streamst.server.wire.seam import Spoken
from streamst.server.wire.summary import Gaps, Summary
from streamst.tls import self_signed

SECRET = "a secret of some length"


class Clock:
    """A clock that stands until it is moved [s]."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def refusal(admission: Admission, secret: str | None = SECRET, sessions: int = 0, audio_ms: float = 0.0) -> int | None:
    """The code with which a session is refused; None when it is let in."""
    try:
        admission.admit(secret, "192.0.2.1", lambda _: (sessions, audio_ms), sessions)
    except ProtocolError as error:
        return error.code
    return None


def test_without_keys_everybody_is_let_in_and_with_keys_only_who_shows_one() -> None:
    assert refusal(Admission(), None) is None
    guarded = Admission((make_key("talks", SECRET),))
    assert guarded.admit(SECRET, None, lambda _: (0, 0.0), 0) == "talks"
    for wrong in (None, "", SECRET[:-1], SECRET + "x", "\ud800"):
        assert refusal(guarded, wrong) == 4401


def test_a_key_has_its_own_limits() -> None:
    clock = Clock()
    limits = {"max_sessions": 2, "minutes_per_day": 10.0, "sessions_per_minute": 3}
    admission = Admission((make_key("talks", SECRET, **limits),), now=clock)
    assert refusal(admission, sessions=2) == 4429
    assert refusal(admission, audio_ms=600_000.0) == 4429
    admission.spent("talks", 599_000.0)
    assert refusal(admission, audio_ms=1000.0) == 4429
    assert [refusal(admission) for _ in range(4)] == [None, None, None, 4429]
    clock.now_s = 61.0
    assert refusal(admission) is None
    admission.spent("talks", 1000.0)
    assert refusal(admission) == 4429
    clock.now_s = 86_500.0
    assert refusal(admission) is None


class Neighbours:
    """Other nodes."""

    def begun(self, name: str) -> int:
        return 2

    def knocks(self, address: str) -> int:
        return 2 * (address == "192.0.2.1")


def test_rates_and_minutes_count_what_other_nodes_tell() -> None:
    clock = Clock()
    key = make_key("talks", SECRET, minutes_per_day=10.0, sessions_per_minute=3)
    admission = Admission((key, make_key("free", SECRET[::-1])), address_rate=3, now=clock)
    admission.others = Neighbours()
    assert admission.lately() == ({}, {})
    admission.knock("192.0.2.1")
    with pytest.raises(ProtocolError, match="3 connections a minute"):
        admission.knock("192.0.2.1")
    admission.knock("192.0.2.2")
    assert [refusal(admission) for _ in range(2)] == [None, 4429]
    assert admission.lately() == ({"talks": 1}, {"192.0.2.1": 1, "192.0.2.2": 1})
    clock.now_s = 60.0
    admission.spent("talks", 1000.0)
    assert admission.untold_ms() == {"talks": 1000.0}
    admission.counted({"talks": 1000.0}, {"talks": 600_000.0})  # most of it elsewhere
    assert admission.untold_ms() == {"talks": 0.0}
    assert refusal(admission) == 4429
    admission.counted(admission.untold_ms(), None)  # nobody tells any more
    assert refusal(admission) is None
    clock.now_s = 200.0
    admission.counted(admission.untold_ms(), {"talks": 599_000.0})
    admission.spent("talks", 1000.0)
    assert refusal(admission) == 4429


def test_an_address_may_not_connect_too_often_nor_hold_too_many_sessions() -> None:
    clock = Clock()
    admission = Admission(address_sessions=2, address_rate=3, now=clock)
    for _ in range(3):
        admission.knock("192.0.2.1")
    with pytest.raises(ProtocolError, match="3 connections a minute") as caught:
        admission.knock("192.0.2.1")
    assert caught.value.code == 4429
    admission.knock("192.0.2.2")
    clock.now_s = 60.0
    admission.knock("192.0.2.1")
    assert refusal(admission, None, sessions=2) == 4429
    assert refusal(admission, None, sessions=1) is None


def test_keys_come_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[[keys]]\nname = "talks"\nkey = "{SECRET}"\nmax_sessions = 4\n')
    from_file, from_environment = load_keys(path, {"STREAMST_API_KEYS": "bot:0123456789abcdef"})
    assert from_file == make_key("talks", SECRET, max_sessions=4)
    assert from_environment == make_key("bot", "0123456789abcdef")
    assert SECRET not in repr(from_file)
    path.write_text(f'[[keys]]\nname = "talks"\nsha256 = "{from_file.sha256}"\n')
    assert load_keys(path, {}) == (ApiKey("talks", from_file.sha256),)


def test_a_file_of_keys_that_every_user_can_read_draws_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[[keys]]\nname = "talks"\nkey = "{SECRET}"\n')
    path.chmod(0o640)
    load_keys(path, {})
    assert not caplog.messages
    path.chmod(0o644)
    load_keys(path, {})
    (message,) = caplog.messages
    assert "can be read by every user of this machine: chmod o-r" in message
    assert SECRET not in message


def test_a_key_of_tls_that_every_user_can_read_draws_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with self_signed("localhost") as (certificate, key):
        options = ServerOptions(tls_cert=certificate, tls_key=key)
        Path(key).chmod(0o600)
        _tls(options)
        assert not caplog.messages
        Path(key).chmod(0o644)
        _tls(options)
    assert caplog.messages == [f"{key} can be read by every user of this machine: chmod o-r"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[keys]]\nname = "x"\nkey = "short"', "at least 16"),
        ('[[keys]]\nname = "x"\nsha256 = "12"', "64 hexadecimal"),
        (f'[[keys]]\nname = "x"\nkey = "{SECRET}"\nmax_sessions = -1', "must not be negative"),
        (f'[[keys]]\nname = "x"\nkey = "{SECRET}"\n' * 2, "two keys have one name"),
        ('keys = "x"', "must be tables"),
        ("[[keys", "cannot be read"),
    ],
)
def test_a_wrong_file_of_keys_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises((ConfigError, InputError), match=message):
        load_keys(path, {})


def test_reports_are_kept_for_a_while_and_not_too_many_of_them() -> None:
    clock = Clock()
    reports = Reports(kept_s=10.0, most=2, now=clock)
    for name in ("a", "b", "c"):
        reports.keep(name, Summary(words=1), ())
    assert reports.find("a") is None
    assert reports.find("c") is not None
    clock.now_s = 10.0
    assert reports.find("c") is None
    assert len(reports) == 0


def test_a_replay_forgets_what_came_and_what_was_sent_when_full_but_never_what_waits() -> None:
    replay = Replay(max_bytes=10)
    for _ in range(4):
        replay.append(["12345"])
    assert replay.bytes == 20
    for _ in range(3):
        assert replay.next() == ["12345"]
        replay.advance()
    assert (replay.oldest, replay.unsent, replay.bytes) == (3, 1, 10)
    assert not replay.rewind(1)
    assert replay.rewind(2)
    assert replay.unsent == 2
    replay.advance()
    replay.reached(3)
    assert replay.oldest == 4
    for impossible in (-1, 5):
        with pytest.raises(ValueError, match="never said"):
            replay.reached(impossible)


def speech(ms: int, rate: float = 1.0) -> Spoken:
    return Spoken("pcm16", b"", ms, 1000, "", 0.0, 0.0, 0, rate)


def words(segment: int) -> Words:
    return Words(source_ms=0.0, compute_ms=0.0, lang="de", segment=segment, words=("ja",))


def test_a_listener_counts_gaps_underruns_and_changes_of_pace() -> None:
    listener = Listener()
    listener.hear(words(0), 900.0)
    listener.hear(speech(1000), 1000.0)  # played until 2000
    listener.hear(speech(500), 1500.0)  # until 2500
    listener.hear(speech(500, rate=1.2), 2600.0)  # 100 ms of silence, in the same segment; until 3100
    listener.hear(words(1), 4000.0)
    listener.hear(speech(500), 4100.0)  # 1000 ms of silence between two segments
    told = listener.summary()
    assert (told.first_word_ms, told.first_audio_ms) == (900.0, 1000.0)
    assert told.gaps == Gaps(count=2, sum_ms=1100.0, longest_ms=1000.0)
    assert (told.underruns, told.rate_changes, told.fastest_rate) == (1, 2, 1.2)
