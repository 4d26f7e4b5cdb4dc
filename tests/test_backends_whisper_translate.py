"""Whisper base of CTranslate2 hears German and writes English: the real model on a clip of a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peers
import pytest

from streamst import Caption, load
from streamst.audio import read_audio
from streamst.backends.parts import Languages
from streamst.backends.whisper_translate import EnglishWriter, TranslatedWord, TranslatingState, translates
from streamst.backends.window import WindowState
from streamst.errors import InputError
from streamst.models.glossary import make_glossary
from streamst.models.seam import Hear, HeardWord, Write
from streamst.pipeline import Pipeline
from streamst.session import Session

CLIP = Path(__file__).parent / "data/unchanged.ogg"
ENGLISH = ("I", "have", "not", "got", "any")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peers.base_whisper(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Pipeline:
    name = f"whisper-translate:{folder}"
    return load(recogniser=name, writer=name, source="de", target="en")


def said(*words: tuple[str, tuple[str, ...]]) -> tuple[HeardWord, ...]:
    return tuple(TranslatedWord(text, 10 * n, 10 * n + 9, 1, english) for n, (text, english) in enumerate(words))


def test_german_speech_gets_german_and_english_captions_that_only_grow(pipeline: Pipeline) -> None:
    session = pipeline.session(policy="wait-k:k=1", chunk_ms=640, speech=False)
    speech = np.concatenate([read_audio(CLIP), np.zeros(16_000, np.float32)])
    events = session.push(speech[:24_000])
    session = Session.restore(session.snapshot(), pipeline.models)
    events += [*session.push(speech[24_000:]), *session.finish()]
    final = {lang: "" for lang in ("de", "en")}
    stable: dict[tuple[str, int], str] = {}
    for event in events:
        if isinstance(event, Caption):
            key = (event.lang, event.segment)
            assert event.stable.startswith(stable.get(key, ""))
            stable[key] = event.stable
            final[event.lang] += event.stable if event.final else ""
    assert final["de"] == "Noch habe ich aber gar nichts geändert."
    assert {"changed", "anything"} <= set(peers.plain(final["en"].split()).split())


def test_in_silence_and_noise_nothing_is_written_in_either_language(pipeline: Pipeline) -> None:
    noise = np.random.default_rng(3).normal(0, 0.05, 4 * 16_000).astype(np.float32)
    (state,) = pipeline.recogniser.hear_all([Hear(noise[:32_000], pipeline.recogniser.init_state())])
    (state,) = pipeline.recogniser.hear_all([Hear(noise[32_000:], state, True)])
    assert pipeline.recogniser.listening(state).words == ()
    assert state.english.words == ()


def test_english_words_go_with_the_word_that_was_said_at_their_time_and_are_forgotten_with_it(
    pipeline: Pipeline,
) -> None:
    german = tuple(HeardWord(text, 20 * n, 20 * n + 10) for n, text in enumerate(["ich", "habe", "nichts"]))
    english = tuple(HeardWord(text, 13 * n + 5, 13 * n + 10) for n, text in enumerate(ENGLISH))
    state = TranslatingState(WindowState(words=german, samples=80 * 320), WindowState(words=english))
    words = pipeline.recogniser.listening(state).words
    assert [word.english for word in words if isinstance(word, TranslatedWord)] == [
        ("I", "have"), ("not",), ("got", "any"),
    ]  # fmt: skip
    rest = pipeline.recogniser.forget(state, 2, 40)
    assert [word.text for word in rest.english.words] == ["got", "any"]
    assert [word.text for word in rest.spoken.words] == ["nichts"]
    rest = pipeline.recogniser.forget(state, 1, 20, labels=3)
    assert [word.text for word in rest.english.words] == ["got", "any"]
    late = pipeline.recogniser.listening(
        TranslatingState(WindowState(words=german[2:]), WindowState(words=english[:1]))
    )
    assert [word.english for word in late.words if isinstance(word, TranslatedWord)] == [("I",)]


def test_the_writer_goes_on_after_its_prefix_and_says_where_words_end(folder: Path) -> None:
    writer = EnglishWriter(folder, "de")
    words = said(("Dampfschiff", ("the", "steamboat")), ("fährt", ()), ("ab", ("departs.",)))
    (whole,) = writer.write_all([Write(words, 30, (), False, "en")])
    assert writer.detokenize("en", whole.tokens) == "the steamboat departs."
    texts = [writer.detokenize("en", whole.tokens[:end]) for end in whole.word_ends]
    assert texts == ["the", "the steamboat", "the steamboat departs."]
    assert (whole.alignment[0], whole.alignment[-1], whole.finished) == (9, 29, False)
    prefix = whole.tokens[: whole.word_ends[1]]
    (rest,) = writer.write_all([Write(words, 30, prefix, True, "en")])
    assert (prefix + rest.tokens, rest.word_ends, rest.finished) == (whole.tokens, (len(rest.tokens),), True)


def test_what_cannot_be_is_refused_in_words(folder: Path) -> None:
    assert {"de", "fr", "ja"} <= set(translates(folder).source)
    assert translates(folder) == Languages(translates(folder).source, ("en",))
    with pytest.raises(InputError, match="hears English only and cannot translate"):
        translates(peers.tiny_whisper())
    writer = EnglishWriter(folder, "de")
    with pytest.raises(InputError, match="needs the recogniser whisper-translate:DIR"):
        writer.write_all([Write((HeardWord("ja", 0, 5),), 6, (), False, "en")])
    with pytest.raises(InputError, match="knows no glossary"):
        writer.terms(make_glossary({"Katze": "cat"}))
    assert writer.terms(make_glossary(())) is None
    with pytest.raises(InputError, match="does not translate 'en'"):
        EnglishWriter(folder, "en")
