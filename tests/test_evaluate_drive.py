"""What a session says becomes lines of a log, and lines become a recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamst.errors import InputError
from streamst.evaluate.log.clock import unit_times
from streamst.evaluate.log.manifest import Clip, Reference
from streamst.evaluate.log.recording import Recording, ShownText, from_lines
from streamst.evaluate.log.runlog import event_json
from streamst.evaluate.run.drive import Labels, drive, record
from streamst.events import Caption, Event, Finished, Speech, Words

LABELS = Labels("en", "de", "word", "words", "st", "simulated")


class Parrot:
    """A session whose answers are given beforehand, one list a push."""

    sample_rate_hz = 16_000

    def __init__(self, answers: list[list[Event]]) -> None:
        self.answers = answers
        self.heard: list[int] = []

    def push(self, pcm: np.ndarray) -> list[Event]:
        self.heard.append(len(pcm))
        return self.answers.pop(0)

    def finish(self) -> list[Event]:
        return self.answers.pop(0)


def words(ms: float, *said: str) -> Words:
    return Words(source_ms=ms, compute_ms=1.0, lang="de", segment=0, words=said)


def caption(ms: float, stable: str, unstable: str = "", lang: str = "de", segment: int = 0) -> Caption:
    return Caption(
        source_ms=ms, compute_ms=1.0, lang=lang, segment=segment, revision=0, stable=stable, unstable=unstable
    )


def recorded(answers: list[list[Event]], tmp_path: Path, labels: Labels = LABELS, samples: int = 12_000) -> Recording:
    (tmp_path / "speech").mkdir(exist_ok=True)
    clip = Clip(0, "a.wav", tmp_path / "a.wav", 2, "ann", (Reference(0.0, 750.0, "a b", "x y"),))
    steps = drive(Parrot(answers), [np.zeros(samples, np.float32)], 5120)
    lines = json.loads(json.dumps(record(clip, steps, labels, 16_000, tmp_path)))
    return from_lines(lines, "test", tmp_path)


def test_the_clock_of_a_run_in_real_time_waits_for_the_audio_and_counts_the_backlog() -> None:
    """Hand-worked: pieces end at 320, 640, 750 ms; computing takes 400 ms each, so the second begins late."""
    now = [10.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    class Slow(Parrot):
        def push(self, pcm: np.ndarray) -> list[Event]:
            now[0] += 0.4
            return super().push(pcm)

    session = Slow([[], [], [], []])
    blocks = [np.zeros(7000, np.float32), np.zeros(5000, np.float32)]
    steps = drive(session, blocks, 5120, "realtime", lambda: now[0], sleep)
    times = [(line["audio_ms"], round(line["start_ms"], 6), round(line["end_ms"], 6)) for line, _ in steps]
    assert times == [(320, 320, 720), (640, 720, 1120), (750, 1120, 1520), (750, 1520, 1520)]
    assert slept == [0.32]
    assert session.heard == [5120, 5120, 1760]


def test_words_have_the_audio_heard_as_their_delay_and_the_end_of_their_step_on_the_live_clock(tmp_path: Path) -> None:
    found = recorded([[words(320, "eins")], [], [words(750, "zwei", "drei")], [words(750, "vier")]], tmp_path)
    assert found.units == ("eins", "zwei", "drei", "vier")
    assert found.delays_ms == (320.0, 750.0, 750.0, 750.0)
    live = unit_times(found.steps, "queue")
    assert live[1] == live[2] <= live[3]
    assert all(e >= d for e, d in zip(live, found.delays_ms, strict=True))


def test_a_word_with_a_no_break_space_is_two_units(tmp_path: Path) -> None:
    assert recorded([[words(320, "5\u00a0%")], [], [], []], tmp_path).units == ("5", "%")


def test_retranslation_is_scored_by_what_the_captions_leave_and_counts_what_they_took_back(tmp_path: Path) -> None:
    labels = Labels("en", "de", "word", "captions", "st", "simulated")
    answers: list[list[Event]] = [
        [caption(320, "", "das Haus"), words(320, "never counted")],
        [caption(640, "das", "Hotel ist"), caption(640, "das", "Hotel ist groß")],
        [caption(750, "das Hotel ist", "klein"), caption(750, "the hotel", lang="en")],
        [caption(750, "das Hotel ist klein", ""), caption(750, "", "Und", segment=1)],
    ]
    found = recorded(answers, tmp_path, labels)
    assert found.prediction == "das Hotel ist klein Und"
    assert found.delays_ms == (320.0, 640.0, 640.0, 750.0, 750.0)
    assert [unit for step in found.steps for unit in step.deleted] == ["Haus", "groß"]
    assert found.transcript == "the hotel"


def test_a_caption_of_an_earlier_segment_rewrites_what_follows_it() -> None:
    text = ShownText("word", "de")
    for said, expected in (
        (caption(1, "a b"), ((), ("a", "b"))),
        (caption(2, "c", segment=1), ((), ("c",))),
        (caption(3, "a x"), (("b", "c"), ("x", "c"))),
        (caption(4, "a x"), ((), ())),
    ):
        assert text.show(event_json(said)) == expected
    assert text.text() == "a x c"
    assert text.show(event_json(caption(5, "a", lang="en"))) is None


def test_recognition_counts_only_what_will_not_change(tmp_path: Path) -> None:
    labels = Labels("en", "de", "word", "stable", "asr", "simulated")
    answers: list[list[Event]] = [
        [caption(320, "a", "bee", lang="en")], [caption(640, "a b", lang="en")], [words(750, "x")], [],
    ]  # fmt: skip
    found = recorded(answers, tmp_path, labels)
    assert (found.units, found.delays_ms, found.reference) == (("a", "b"), (320.0, 640.0), "a b")


def test_speech_is_kept_as_a_wav_and_its_place_in_time(tmp_path: Path) -> None:
    def speech(ms: float, level: float, samples: int) -> Speech:
        pcm = np.full(samples, level, np.float32)
        return Speech(source_ms=ms, compute_ms=2.0, pcm=pcm, sample_rate_hz=24_000, text="x")

    found = recorded([[speech(320, 0.25, 2400)], [speech(640, 0.0, 0)], [speech(750, -0.5, 4800)], []], tmp_path)
    assert [(c.delay_ms, c.duration_ms, c.step) for c in found.speech] == [(320.0, 100.0, 0), (750.0, 200.0, 2)]
    assert found.speech_path is not None
    pcm, rate = soundfile.read(found.speech_path)
    assert (rate, len(pcm)) == (24_000, 7200)
    assert pcm[100] == pytest.approx(0.25, abs=1e-4)
    assert pcm[-1] == pytest.approx(-0.5, abs=1e-4)
    assert not list(tmp_path.rglob("*.part*"))


def test_every_event_of_a_session_has_a_line_and_nothing_of_it_is_lost() -> None:
    done = Finished(source_ms=5.0, compute_ms=1.0, samples=80, segments=2, decoder_calls=3, compute_s=0.5)
    for event in (words(5, "a"), caption(6, "s", "u"), done):
        line = event_json(event)
        kind = line.pop("event")
        back = {"words": Words, "caption": Caption, "finished": Finished}[kind]
        restored = back(**{k: tuple(v) if isinstance(v, list) else v for k, v in line.items()})
        assert restored == event
    with pytest.raises(InputError, match="has no place in a log"):
        event_json(Event(source_ms=0.0, compute_ms=0.0))
