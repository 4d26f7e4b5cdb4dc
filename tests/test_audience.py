"""A room's tape and a listener's place in it, a clock in hand."""

from __future__ import annotations

import json

import pytest

from streamst.errors import ProtocolError
from streamst.server.audience.member import Member
from streamst.server.audience.tape import Coding, Entry, Tape
from streamst.server.audience.wire import Leave, ListenerProtocol, Wish, read_wish
from streamst.server.wire.native import pack_audio
from streamst.server.wire.seam import Ping

PCM, OPUS = Coding("pcm16"), Coding("opus")
HEARING = Wish(audio=True)


class Scene:
    """A tape on which captions and speech are put down at times of a hand-set clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.tape = Tape(kept_s=60.0)

    def caption(self, lang: str, segment: int, text: str) -> None:
        number = self.tape.newest + 1
        self.tape.append(Entry(number, self.now_s, (f"{number} {lang} {segment} {text}",), lang, segment))

    def speech(self) -> None:
        number = self.tape.newest + 1
        self.tape.append(Entry(number, self.now_s, coded={PCM: (f"{number} pcm",), OPUS: (f"{number} opus",)}))

    def member(self, wish: Wish = HEARING, after: int | None = None) -> Member:
        return Member(self.tape, "en", wish, after, 10.0, lambda: self.now_s)


def said(member: Member) -> list[str]:
    found: list[str] = []
    while (messages := member.next()) is not None:
        found += [message for message in messages if isinstance(message, str)]
    return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_everybody_gets_what_it_wishes_in_order(scene: Scene) -> None:
    members = [
        scene.member(Wish("both", True)),
        scene.member(Wish("target")),
        scene.member(Wish("source", True, "opus")),
        scene.member(Wish("none", True, "neural")),
    ]
    scene.caption("en", 0, "we")
    scene.caption("de", 0, "wir")
    scene.speech()
    assert [said(member) for member in members] == [
        ["1 en 0 we", "2 de 0 wir", "3 pcm"],
        ["2 de 0 wir"],
        ["1 en 0 we", "3 opus"],
        [],
    ]


def test_who_comes_late_reads_the_newest_of_the_last_minute_and_hears_from_now_on(scene: Scene) -> None:
    scene.caption("de", 0, "lange her")
    scene.now_s = 50.0
    scene.caption("de", 1, "a")
    scene.caption("de", 1, "a b")
    scene.speech()
    scene.now_s = 70.0
    scene.caption("de", 2, "c")
    late = scene.member()
    assert said(late) == ["3 de 1 a b", "5 de 2 c"]
    scene.speech()
    assert said(late) == ["6 pcm"]


def test_who_comes_back_gets_everything_since_however_long_ago(scene: Scene) -> None:
    for number in range(5):
        scene.caption("de", 0, str(number))
        scene.speech()
    scene.now_s = 40.0
    back = scene.member(after=7)
    assert said(back) == ["8 pcm", "9 de 0 4", "10 pcm"]
    assert back.jumps == 0


def test_who_was_away_for_longer_than_the_tape_is_told_that_it_jumps(scene: Scene) -> None:
    for number in range(3):
        scene.caption("de", number, "alt")
    scene.now_s = 100.0
    scene.caption("de", 3, "neu")
    told, *rest = said(scene.member(after=1))
    assert json.loads(told) == {"type": "jump", "after": 1, "to": 4, "skipped_ms": 60_000.0}
    assert rest == ["4 de 3 neu"]


def test_who_is_ten_seconds_behind_jumps_and_loses_no_words_but_speech(scene: Scene) -> None:
    slow, quick = scene.member(), scene.member()
    for number in range(12):
        scene.now_s = float(number)
        scene.caption("de", number // 4, f"w{number}")
        scene.speech()
        said(quick)
    told, *rest = said(slow)
    assert json.loads(told) == {"type": "jump", "after": 0, "to": 24, "skipped_ms": 11_000.0}
    assert rest == ["7 de 0 w3", "15 de 1 w7", "23 de 2 w11"]
    assert (slow.jumps, quick.jumps) == (1, 0)
    scene.speech()
    assert said(slow) == ["25 pcm"]


def test_the_end_is_never_jumped_over(scene: Scene) -> None:
    slow = scene.member()
    scene.caption("de", 0, "a")
    scene.tape.append(Entry(2, 0.0, ("2 closed",)))
    scene.now_s = 11.0
    assert said(slow)[1:] == ["1 de 0 a", "2 closed"]


def test_ten_seconds_to_the_millisecond_is_not_too_late(scene: Scene) -> None:
    member = scene.member()
    scene.caption("de", 0, "a")
    scene.now_s = 10.0
    assert said(member) == ["1 de 0 a"]
    assert member.lag_s == 10.0


def test_a_tape_keeps_no_more_than_it_may() -> None:
    tape = Tape(kept_s=60.0, most=3)
    for number in range(1, 6):
        tape.append(Entry(number, 0.0))
    assert (tape.oldest, tape.newest) == (3, 5)
    assert tape.get(2) is None
    assert tape.get(6) is None


def test_wishes_are_read_from_a_query_and_from_messages() -> None:
    assert read_wish({}) == (Wish(), None)
    query = {"captions": "target", "audio": "1", "codec": "opus", "bitrate_bps": "24000", "after": "17", "token": "t"}
    assert read_wish(query) == (Wish("target", True, "opus", 24_000), 17)
    protocol = ListenerProtocol(1000)
    assert protocol.receive('{"type":"listen","captions":"source"}') == [Wish("source")]
    assert protocol.receive('{"type":"ping","id":1}') == [Ping(1)]
    assert protocol.receive('{"type":"end"}') == [Leave()]
    assert protocol.receive('{"type":"tomorrow"}') == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"captions": "all"}, "listen.captions: 'all'.*source, target, both, none"),
        ({"codec": "mp3"}, "listen.codec: 'mp3'.*pcm16, opus, neural"),
        ({"audio": "yes"}, "audio: 'yes'; allowed: 0, 1, false, true"),
        ({"after": "-1"}, "after: '-1' is not a whole number"),
        ({"bitrate_bps": "x"}, "bitrate_bps: 'x' is not a whole number"),
    ],
)
def test_an_impossible_wish_is_refused_with_what_is_allowed(query: dict[str, str], told: str) -> None:
    with pytest.raises(ProtocolError, match=told) as caught:
        read_wish(query)
    assert caught.value.code == 4400


@pytest.mark.parametrize(
    ("message", "code", "told"),
    [
        (pack_audio("pcm16", 0, 0, bytes(320)), 1003, "who listens in a room cannot speak"),
        ('{"type":"config","target":"de"}', 4400, "'config' is for speakers; listeners say listen, ping, end"),
        ('{"type":"listen","volume":3}', 4400, "unknown key 'volume'"),
        ('{"captions":"both"}', 1007, 'string "type"'),
        ("{", 1007, "must be JSON"),
        ('{"type":"listen"}' + " " * 1000, 1009, "may have 1000 bytes"),
    ],
)
def test_what_only_a_speaker_may_say_is_refused(message: str | bytes, code: int, told: str) -> None:
    with pytest.raises(ProtocolError, match=told) as caught:
        ListenerProtocol(1000).receive(message)
    assert caught.value.code == code
