"""The voice as a session uses it: streamed equals whole, states travel, bad input is speech or a clear error."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from seams import spoken_by

from streamst.codecs.neural import NeuralCodec, NeuralCodecConfig
from streamst.errors import InputError
from streamst.evaluate.run.voice import hear
from streamst.inventory import ASSETS
from streamst.languages.german.spoken import spoken_german
from streamst.languages.german.symbols import encode
from streamst.models.seam import Speak
from streamst.models.speak.aligner import load_aligner
from streamst.models.speak.network import TtsConfig, TtsNetwork
from streamst.models.speak.voice import GermanVoice, VoiceState, _line, say
from streamst.nn.packing import from_bytes, to_bytes

TABLE = Path(__file__).parent / "data" / "german_spoken.tsv"
TEXT = "Um 14:30 Uhr, z. B. am 3. Mai, kamen 25 Leute für € 12,50. Wer war das? Das weiß ich nicht"
NUMBERS = "Für € 5 000 sahen 1 234 567 Leute am Fr., 3. Mai, Tel. 030 12 34 56, zu"


@pytest.fixture(scope="module")
def codec() -> NeuralCodec:
    torch.manual_seed(0)
    return NeuralCodec(
        NeuralCodecConfig(latent_dim=16, encoder_dim=16, encoder_blocks=1, decoder_dim=24, decoder_blocks=2)
    ).eval()


@pytest.fixture(scope="module")
def voice(codec: NeuralCodec) -> GermanVoice:
    torch.manual_seed(1)
    config = TtsConfig(text_dim=24, word_blocks=1, phrase_blocks=1, frame_dim=24, frame_blocks=2, outputs=16)
    network = TtsNetwork(config).eval()
    with torch.no_grad():
        last = network.text.prosody[2]
        assert isinstance(last, torch.nn.Linear)
        last.weight.mul_(2)
        last.bias[0] = 0.8
    return GermanVoice(network, codec.decoder)


def speak_in_pieces(voice: GermanVoice, pieces: Sequence[Sequence[str]], state: VoiceState | None = None) -> np.ndarray:
    state = state or voice.init_state()
    heard = []
    for index, words in enumerate(pieces):
        pcm, state = spoken_by(voice, words, state, final=index == len(pieces) - 1)
        heard.append(pcm)
    return np.concatenate(heard)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 20), max_size=8), text=st.sampled_from([TEXT, NUMBERS]))
@example(cuts=list(range(20)), text=NUMBERS)
def test_words_in_any_pieces_sound_like_the_whole_text(voice: GermanVoice, cuts: list[int], text: str) -> None:
    words = text.split()
    edges = [0, *sorted(min(cut, len(words)) for cut in cuts), len(words)]
    pieces = [words[start:end] for start, end in itertools.pairwise(edges)]
    whole = say(voice, text)
    streamed = speak_in_pieces(voice, pieces)
    assert streamed.shape == whole.shape
    np.testing.assert_array_equal(streamed, whole)


def test_a_word_is_spoken_when_the_next_is_known_and_the_last_at_the_end(voice: GermanVoice) -> None:
    first, state = spoken_by(voice, ["Guten"], voice.init_state(), final=False)
    assert len(first) == 0
    second, state = spoken_by(voice, ["Tag"], state, final=False)
    assert len(second) > 0
    assert state.held == ("Tag",)
    none, state = spoken_by(voice, [], state, final=False)
    assert len(none) == 0
    third, state = spoken_by(voice, [], state, final=True)
    assert len(third) > 0
    assert state.held == ()
    nothing, _ = spoken_by(voice, [], state, final=True)
    assert len(nothing) == 0


def test_a_hurried_word_is_spoken_without_the_next_and_the_phrase_goes_on(voice: GermanVoice) -> None:
    held, state = spoken_by(voice, ["Guten"], voice.init_state(), final=False)
    assert len(held) == 0
    assert voice.held(state) == ("Guten",)
    first, state = spoken_by(voice, [], state, final=False, hurried=True)
    assert len(first) > 0
    assert voice.held(state) == ()
    assert not state.opening
    assert len(spoken_by(voice, [], state, final=False, hurried=True)[0]) == 0
    rest, state = spoken_by(voice, ["Tag."], state, final=False, hurried=True)
    assert len(rest) > 0
    assert state.opening
    unhurried, _ = spoken_by(voice, ["Guten"], voice.init_state(), final=True)
    assert abs(len(first) - len(unhurried)) < 1000  # the same word; the mark holds the newest samples back


@pytest.mark.parametrize("word", ["3.", "z.", "B.", "14:30", "5,50", "Dr.", "12", "€"])
def test_a_word_that_depends_on_the_next_cannot_be_hurried(voice: GermanVoice, word: str) -> None:
    pcm, state = spoken_by(voice, [word], voice.init_state(), final=False, hurried=True)
    assert len(pcm) == 0
    assert voice.held(state) == (word,)


def test_a_state_is_not_changed_by_speaking_from_it(voice: GermanVoice) -> None:
    _, state = spoken_by(voice, ["Guten", "Tag,"], voice.init_state(), final=False)
    once, _ = spoken_by(voice, ["alle"], state, final=True)
    again, _ = spoken_by(voice, ["alle"], state, final=True)
    np.testing.assert_array_equal(once, again)


def test_two_interleaved_sessions_equal_two_separate_ones(voice: GermanVoice) -> None:
    one, two = ["Das", "ist", "gut."], ["Nein,", "ist", "es", "nicht!"]
    states, heard = [voice.init_state(), voice.init_state()], [[], []]
    for index in range(4):
        for session, words in enumerate((one, two)):
            if index < len(words):
                pcm, states[session] = spoken_by(voice, [words[index]], states[session], final=index == len(words) - 1)
                heard[session].append(pcm)
    for session, words in enumerate((one, two)):
        alone = speak_in_pieces(voice, [[word] for word in words])
        np.testing.assert_allclose(np.concatenate(heard[session]), alone, atol=1e-5)


def test_a_state_survives_storage_in_the_middle_of_a_sentence(voice: GermanVoice) -> None:
    first, state = spoken_by(voice, ["Das", "ist", "ein"], voice.init_state(), final=False)
    restored = from_bytes(VoiceState, to_bytes(state), voice.init_state())
    rest, _ = spoken_by(voice, ["Haus."], restored, final=True)
    whole = speak_in_pieces(voice, [["Das", "ist", "ein"], ["Haus."]])
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)


def test_a_foreign_state_is_refused(voice: GermanVoice) -> None:
    fresh = voice.init_state()
    other = replace(fresh, text=fresh.text.map(lambda tensor: torch.cat([tensor, tensor], -1)))
    for data in (to_bytes(other), to_bytes(fresh.text), to_bytes(replace(fresh, held=7)), b""):
        with pytest.raises(InputError):
            from_bytes(VoiceState, data, fresh)


def test_a_closed_sentence_is_forgotten_and_an_open_phrase_goes_on(voice: GermanVoice) -> None:
    _, closed = spoken_by(voice, ["Das", "ist", "gut."], voice.init_state(), final=True)
    assert closed.opening
    assert bool((closed.text.context == 0).all())
    _, opened = spoken_by(voice, ["Das", "ist", "gut"], voice.init_state(), final=True)
    assert not opened.opening
    assert opened.before[-1] == "gut"


def test_rate_divides_the_length_of_the_speech(voice: GermanVoice) -> None:
    slow, normal, fast = (len(say(voice, TEXT, rate)) for rate in (0.8, 1.0, 1.25))
    assert slow / normal == pytest.approx(1 / 0.8, rel=0.05)
    assert fast / normal == pytest.approx(1 / 1.25, rel=0.05)


@pytest.mark.parametrize("rate", [0.0, 0.79, 1.26, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused_with_the_allowed_range(voice: GermanVoice, rate: float) -> None:
    with pytest.raises(InputError, match=r"rate of .* allowed: 0\.8 to 1\.25"):
        spoken_by(voice, ["gut"], voice.init_state(), final=True, rate=rate)


@pytest.mark.parametrize("text", ["", "  ", "🙂", "你好 世界", "!!! …", "\u200b"])
def test_text_with_nothing_to_speak_is_refused_by_say_and_silent_in_a_stream(voice: GermanVoice, text: str) -> None:
    with pytest.raises(InputError, match="nothing to speak"):
        say(voice, text)
    pcm, state = spoken_by(voice, [text], voice.init_state(), final=True)
    assert len(pcm) == 0
    assert state.held == ()


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "7",
        "Donaudampfschifffahrtsgesellschaftskapitän",
        "1.234.567,89",
        "Hallo 🙂 你好 Welt",
        "x" * 900,
        "ß",
        "?! ja",
    ],
)
def test_odd_text_becomes_finite_speech(voice: GermanVoice, text: str) -> None:
    pcm = say(voice, text)
    assert len(pcm) > 0
    assert len(pcm) % 320 == 0
    assert bool(np.isfinite(pcm).all())


def test_emoji_between_words_change_nothing(voice: GermanVoice) -> None:
    np.testing.assert_array_equal(say(voice, "Hallo Welt"), say(voice, "Hallo 🙂 Welt 你好"))


def test_text_that_arrives_one_character_at_a_time_is_speech_and_sounds_like_the_same_characters_at_once(
    voice: GermanVoice,
) -> None:
    text = "Um 8 Uhr, 🙂 你 ja!"
    streamed = speak_in_pieces(voice, [[character] for character in text])
    assert bool(np.isfinite(streamed).all())
    np.testing.assert_array_equal(streamed, say(voice, " ".join(text)))


def test_a_thousand_words_at_once_are_spoken_and_the_memory_stays_bounded(voice: GermanVoice) -> None:
    fresh = voice.init_state()
    pcm, state = spoken_by(voice, ["Haus"] * 1000, fresh, final=False)
    assert len(pcm) > 1000 * 320
    assert state.held == ("Haus",)
    for before, after in ((fresh.text, state.text), (fresh.frames, state.frames), (fresh.decoder, state.decoder)):
        assert [t.shape for t in after.tensors()] == [t.shape for t in before.tensors()]


def test_an_endless_word_is_refused(voice: GermanVoice) -> None:
    with pytest.raises(InputError, match=r"1001 characters .* allowed: 1000"):
        spoken_by(voice, ["a" * 1001], voice.init_state(), final=False)


@pytest.fixture(scope="module")
def shipped() -> GermanVoice:
    return GermanVoice.load(ASSETS / "voice-de", NeuralCodec.load(ASSETS / "codec"))


def test_the_shipped_voice_streams_as_it_speaks_at_once(shipped: GermanVoice) -> None:
    words = ["Am", "3.", "Mai", "um", "14:30", "Uhr", "regnete", "es,", "und", "niemand", "kam."]
    whole = say(shipped, " ".join(words))
    streamed = speak_in_pieces(shipped, [[word] for word in words])
    np.testing.assert_allclose(streamed, whole, atol=1e-4, rtol=0)
    assert 2.0 < len(whole) / 16_000 < 8.0
    assert 0.02 < float(np.sqrt(np.square(whole).mean())) < 0.2
    assert float(np.abs(whole).max()) <= 1.0


def test_shorter_pauses_make_speech_shorter_and_say_the_same_words(shipped: GermanVoice) -> None:
    words = ["Ja,", "das", "stimmt,", "und", "es", "ist", "gut.", "Wir", "gehen,", "wenn", "du", "willst."]
    even, _ = spoken_by(shipped, words, shipped.init_state(), final=True)
    short, _ = spoken_by(shipped, words, shipped.init_state(), final=True, pauses=0.2)
    assert 0.7 * len(even) < len(short) < 0.98 * len(even)
    with pytest.raises(InputError, match=r"allowed: 0\.2 to 1"):
        spoken_by(shipped, words, shipped.init_state(), final=True, pauses=0.1)


def test_eight_speakers_together_sound_as_each_alone(shipped: GermanVoice) -> None:
    texts = (
        "Ich habe gestern einen Freund getroffen.", "Das ist gut, aber es regnet.", "Wo ist der Bahnhof?", "Ja.",
        "Vielen Dank für Ihre Hilfe.", "Sie hat 3 Kinder.", "Kannst du mir helfen?", "Wir gehen morgen ins Kino.",
    )  # fmt: skip
    lines = [text.split() for text in texts]
    states = [shipped.init_state() for _ in lines]
    heard: list[list[np.ndarray]] = [[] for _ in lines]
    for index in range(max(map(len, lines))):
        rows = [row for row, line in enumerate(lines) if index < len(line)]
        work = [Speak((lines[row][index],), states[row], index == len(lines[row]) - 1, 1.0) for row in rows]
        for row, (pcm, state) in zip(rows, shipped.speak_all(work), strict=True):
            heard[row].append(pcm)
            states[row] = state
    for line, pieces in zip(lines, heard, strict=True):
        alone = speak_in_pieces(shipped, [[word] for word in line])
        together = np.concatenate(pieces)
        assert len(together) == len(alone)
        assert np.allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "Der Zug nach Hamburg fährt heute zehn Minuten später.",
        "Ich möchte gerne ein Glas Wasser und einen Kaffee.",
        "Morgen gehen wir mit den Kindern in den Garten.",
    ],
)
def test_the_shipped_voice_says_these_words_in_this_order(shipped: GermanVoice, text: str) -> None:
    aligner = load_aligner(ASSETS / "voice-de" / "aligner")
    heard = hear(
        aligner,
        say(shipped, text),
        spoken_german(text),
        spoken_german("Das Wetter bleibt am Wochenende kalt und trocken."),
        1,
    )
    assert heard.own + 1.0 < heard.shuffled
    assert heard.own + 1.0 < heard.other


def test_the_shipped_voice_pauses_at_a_comma(shipped: GermanVoice) -> None:
    assert len(say(shipped, "Heute, morgen, gestern.")) > len(say(shipped, "Heute morgen gestern.")) + 1600


def test_the_shipped_voice_stays_bounded_over_many_words(shipped: GermanVoice) -> None:
    _, state = spoken_by(shipped, ["Wasser"] * 100, shipped.init_state(), final=False)
    pcm, _ = spoken_by(shipped, ["und", "Wein."], state, final=True)
    fresh, _ = spoken_by(shipped, ["Wasser", "und", "Wein."], shipped.init_state(), final=True)
    assert float(np.abs(pcm).max()) <= 1.0
    assert len(pcm) == pytest.approx(len(fresh), rel=0.35)


def said_word_by_word(words: Sequence[str]) -> list[list[int]]:
    """The symbols of a text of which the voice is given one written word after the other."""
    nothing: Any = None  # the networks' states, which no words depend on
    state, said = VoiceState((), (), True, nothing, nothing, nothing, nothing), list[list[int]]()
    for index in range(len(words) + 1):
        line = _line(Speak(tuple(words[index : index + 1]), state, index == len(words)))
        said += line.said
        state = replace(state, held=line.held, before=line.before, opening=line.opening)
    return said


def test_word_by_word_every_kind_of_german_is_said_as_in_the_whole_text() -> None:
    """A stroke between numbers, too, which alone is none that is said."""
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    differ = [
        written
        for _, written, _ in rows
        if said_word_by_word(written.split())
        != [encode(word, index == 0) for index, word in enumerate(spoken_german(written))]
    ]
    assert differ == []
