"""Glossaries: what is refused, what is found, and how decoding is pulled towards a term and no further."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from streamst.errors import InputError
from streamst.models.glossary import MAX_TERMS, Glossary, make_glossary, read_glossary, sift
from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.spotting import SpotState, Spotter, TermTree
from streamst.models.translator import SpeechTranslator
from streamst.models.write.steering import Steering, Wish, occurrences, overlap
from streamst.models.write.terms import Terms
from streamst.nn.packing import from_bytes, to_bytes
from streamst.text import Tokenizer


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["Boston"], "entry 1: 'Boston' is not a pair of source and target"),
        ([("a", "b", "c")], r"entry 1: \('a', 'b', 'c'\) is not a pair"),
        ([("box", "Kiste"), ("cat", 5)], "entry 2: the target 5 is not text"),
        ([("", "Kiste")], "entry 1: the source '' has not 1 to 100 printable characters"),
        ([("box", " ")], "entry 1: the target '' has not 1 to 100"),
        ([("box", "K\x00")], "the target .* has not 1 to 100 printable"),
        ([("box", "K" * 101)], "has not 1 to 100 printable"),
        ([("!?", "K")], "'!\\?' has no letter that can be spoken"),
        ([("Box", "Kiste"), ("box", "Schachtel")], "entry 2: 'box' is 'Kiste' before and 'Schachtel' here"),
        ([(f"a{'b' * i}", "x") for i in range(MAX_TERMS + 1)], f"{MAX_TERMS + 1} terms; at most {MAX_TERMS}"),
        ("box=Kiste", "str is no list of"),
        (7, "int is no list of"),
    ],
)
def test_what_is_no_glossary_is_named_with_its_entry(pairs: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_glossary(pairs)  # type: ignore[arg-type]


def test_terms_are_kept_as_they_are_spoken_and_the_same_twice_is_one() -> None:
    found = make_glossary([("Dr. O'Neill", "Dr. O'Neill"), ("DR. O'NEILL ", "Dr. O'Neill"), ("2 boxes", "zwei Kisten")])
    assert found == Glossary((("doctor o'neill", "Dr. O'Neill"), ("two boxes", "zwei Kisten")))
    assert make_glossary({"box": "Kiste"}) == Glossary((("box", "Kiste"),))
    assert not make_glossary(())


def test_a_file_is_read_and_its_bad_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text("\ufeff# our words\n\nbox\tKiste\nnew york\tNew York\n", encoding="utf-8")
    assert read_glossary(path).terms == (("box", "Kiste"), ("new york", "New York"))
    for text, words in (
        ("# nothing\n", "holds no terms"),
        ("", "holds no terms"),
        ("box\tKiste\ncat Katze\n", "line 2: 'cat Katze' is not SOURCE TAB TARGET"),
        ("box\tKiste\tx\n", "line 1: .* is not SOURCE TAB TARGET"),
        ("box\tKiste\nbox\tTruhe\n", "entry 2: 'box' is 'Kiste' before and 'Truhe' here"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            read_glossary(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"terms\.tsv"):
        read_glossary(path)
    with pytest.raises(InputError, match="missing"):
        read_glossary(tmp_path / "missing")


@pytest.fixture
def tokenizers(tiny_translator: SpeechTranslator) -> tuple[Tokenizer, Tokenizer]:
    return tiny_translator.source_tokenizer, tiny_translator.target_tokenizer


def test_terms_are_found_in_words_the_longest_first(tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    _, target = tokenizers
    terms = Terms(make_glossary({"cat": "Tag", "cat is": "Mai", "dog": "See", "a dog is in": "Tag"}), target)
    words = ["the", "cat", "is", "on", "a", "dog", "cat"]
    wishes = terms.wishes(words, [(i + 1, i + 1) for i in range(7)])
    assert [(wish.first, wish.last, target.decode(wish.tokens)) for wish in wishes] == [
        (2, 3, "Mai"), (6, 6, "See"), (7, 7, "Tag"),
    ]  # fmt: skip


def frames_of(spelled: Sequence[tuple[int, float]], labels: int) -> np.ndarray:
    """A row of log-probabilities a frame: (label, probability), the rest shared out among all."""
    rows = np.empty((len(spelled), labels), np.float32)
    for row, (label, chance) in zip(rows, spelled, strict=True):
        row[:] = (1 - chance) / (labels - 1)
        row[label] = chance
    return np.log(rows)


def spot(spotter: Spotter, log_probs: np.ndarray, piece: int) -> list[tuple[int, tuple[int, ...], int]]:
    state, found = SpotState(), []
    for at in range(0, len(log_probs), piece):
        some, state = spotter.step(log_probs[at : at + piece], state, at)
        found += some
        state = from_bytes(SpotState, to_bytes(state), SpotState())
    return [(one.term, one.frames, one.last) for one in found]


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_a_misheard_term_is_spotted_in_its_frames_however_they_arrive(
    tokenizers: tuple[Tokenizer, Tokenizer], piece: int
) -> None:
    source, _ = tokenizers
    terms = TermTree(make_glossary({"dog box": "See", "mat": "Tag"}), source)
    spotter = Spotter(terms, source.starts_word, pause=3, budget=2.5)
    wanted = terms.sources[0]
    other, following = source.encode("go")[0], source.encode("the")[0]
    clear = [(following, 0.9), (BLANK, 0.9), *((token, 0.9) for token in wanted), (BLANK, 0.9), (following, 0.9)]
    whole = [(0, tuple(range(2, 2 + len(wanted))), 2 + len(wanted))]
    assert spot(spotter, frames_of(clear, source.size), piece) == whole
    log_probs = frames_of(clear, source.size)
    log_probs[3] = frames_of([(other, 0.6)], source.size)[0]
    log_probs[3, wanted[1]] = np.log(0.3)  # second best: costs ln 2
    assert spot(spotter, log_probs, piece) == whole
    log_probs[3, wanted[1]] = np.log(1e-9)  # not heard at all
    assert spot(spotter, log_probs, piece) == []


def test_a_term_that_is_only_the_beginning_of_a_word_is_not_spotted(tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    source, _ = tokenizers
    terms = TermTree(make_glossary({"cat": "Tag"}), source)
    spotter = Spotter(terms, source.starts_word)
    inside = next(i for i in range(3, source.size) if not source.starts_word[i])
    spelled = [(token, 0.99999) for token in (*terms.sources[0], inside)] + [(BLANK, 0.9)] * 4
    assert spot(spotter, frames_of(spelled, source.size), 100) == []
    ended = [(token, 0.99999) for token in terms.sources[0]] + [(BLANK, 0.9)] * 4
    assert [one[0] for one in spot(spotter, frames_of(ended, source.size), 100)] == [0]


def test_decoding_begins_a_term_where_its_source_is_read_goes_on_with_it_and_says_it_once() -> None:
    steering = Steering(0, wishes=(Wish(2, 3, (7, 8)),))
    scores = np.log(np.full(10, 0.1, np.float32))
    here, elsewhere = np.array([0.1, 0.1, 0.4, 0.4]), np.array([0.9, 0.1, 0.0, 0.0])
    assert int(steering(scores, [4], here).argmax()) == 7
    assert np.allclose(steering(scores, [4], elsewhere), scores)
    assert int(steering(scores, [4, 7], here).argmax()) == 8
    assert np.array_equal(steering(scores, [4, 7, 8], here), scores)
    twice = Steering(0, wishes=(Wish(2, 3, (7, 8)), Wish(5, 5, (7, 8))))
    later = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    assert int(twice(scores, [4, 7, 8], later).argmax()) == 7
    assert float(np.exp(steering(scores, [4], here)).sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("said", "count", "begun"), [((), 0, 0), ((1, 2, 3), 1, 0), ((2, 3, 1), 0, 1), ((1, 2, 3, 1, 2), 1, 2)]
)
def test_a_term_is_counted_and_its_beginning_known(said: tuple[int, ...], count: int, begun: int) -> None:
    assert occurrences((1, 2, 3), said) == count
    assert overlap((1, 2, 3), said) == begun


@pytest.mark.parametrize("beta", [0.1, 0.4, 0.9])
def test_biased_decoding_chooses_as_the_formula_does(beta: float) -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(50):
        scores = (3 * torch.randn(6, generator=generator)).log_softmax(-1).numpy()
        best = int(scores.argmax())
        chosen = Steering(1, beta, (4, 5))(scores, [9, 4], scores)
        kept = (1 - beta) * math.exp(scores[best]) <= (1 - beta) * math.exp(scores[5]) + beta
        assert int(chosen.argmax()) == (5 if kept else best)  # Arivazhagan et al., IWSLT 2020, eq. 1
        assert np.array_equal(Steering(1, beta, (4, 5))(scores, [9, 3], scores), scores)


def test_ten_thousand_terms_cost_a_frame_little_more_than_one(tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    source, _ = tokenizers
    rng = np.random.default_rng(2)
    letters = list("abcdefghiklmnopstuwxy")
    words = {"".join(rng.choice(letters, 8)) for _ in range(10_000)}
    terms = TermTree(make_glossary(dict.fromkeys(words, "Tag")), source)
    log_probs = np.log(rng.dirichlet(np.full(source.size, 0.1), 200) + 1e-6).astype(np.float32)
    _, state = Spotter(terms, source.starts_word).step(log_probs, SpotState(), 0)
    assert len(state.alive) <= 100  # what a frame costs is bounded by this, not by the glossary


class Spelling:
    """A tokenizer of the letters of German."""

    unknown = Tokenizer.unknown

    def encode(self, text: str) -> list[int]:
        return [max(0, "_ abcdefghijklmnopqrstuvwxyzäöüßABCDEFGHIJKLMNOPQRSTUVWXYZ".find(c)) for c in f"a{text}"]


@pytest.mark.parametrize(("target", "written"), [("Café", "Cafe"), ("Šibenik", "Sibenik"), ("öl", "öl"), ("é", "e")])
def test_a_target_term_loses_the_accents_that_the_model_cannot_write(target: str, written: str) -> None:
    tokenizer: Tokenizer = Spelling()  # type: ignore[assignment]
    wishes = Terms(Glossary((("box", target),)), tokenizer).wishes(["box"], [(1, 1)])
    assert [wish.tokens for wish in wishes] == [tuple(tokenizer.encode(written))]


@pytest.mark.parametrize(("target", "foreign"), [("引擎 A引", "引擎"), ("🚗", "🚗"), ("½", "½"), ("10%", "10%")])
def test_a_target_term_that_the_model_cannot_write_is_refused_with_its_letters(target: str, foreign: str) -> None:
    tokenizer: Tokenizer = Spelling()  # type: ignore[assignment]
    with pytest.raises(
        InputError, match=f"the target '{target}' has characters that this model cannot write: '{foreign}'"
    ):
        Terms(Glossary((("box", target),)), tokenizer)


def refuses_letters(glossary: Glossary) -> None:
    """A writer that knows no ß."""
    for _, target in glossary.terms:
        if "ß" in target:
            raise InputError(f"glossary: the target {target!r} cannot be written")


def test_what_cannot_be_used_of_a_glossary_is_named_and_the_rest_is_used() -> None:
    pairs = [
        ("box", "Kiste"), ("street", "Straße"), ("", "nichts"), ("!?", "nichts"), ("Box", "Truhe"), ("Okafor", ""),
        ("x" * 101, "lang"), ("box", "Kiste"), ("b", "<img src=x>"),
    ]  # fmt: skip
    found, left_out = sift(pairs, refuses_letters)
    assert found.terms == (("box", "Kiste"), ("street", ""), ("okafor", ""), ("b", "<img src=x>"))
    assert [number for number, _ in left_out] == [2, 3, 4, 5, 7]
    told = dict(left_out)
    assert told[2] == "the target 'Straße' cannot be written; it is heard only"
    assert "the source '' has not 1 to 100 printable characters" in told[3]
    assert told[5] == "'box' is 'Kiste' before and 'Truhe' here; give one target"


def test_ten_thousand_terms_of_which_some_cannot_be_written_are_sifted_in_few_tries() -> None:
    tries = 0

    def check(glossary: Glossary) -> None:
        nonlocal tries
        tries += 1
        refuses_letters(glossary)

    letters = [chr(97 + n // 676 % 26) + chr(97 + n // 26 % 26) + chr(97 + n % 26) for n in range(10_000)]
    pairs = [(f"term {one} {n // 5000}", "ß" if n in (17, 5000, 9999) else "Wort") for n, one in enumerate(letters)]
    found, left_out = sift(pairs, check)
    assert [number for number, _ in left_out] == [18, 5001, 10_000]
    assert len(found.terms) == 10_000
    assert tries < 100


def test_a_term_without_a_translation_is_heard_and_not_written(tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    source, target = tokenizers
    glossary = make_glossary([("cat", ""), ("dog", "See")])
    wishes = Terms(glossary, target).wishes(["cat", "dog"], [(1, 1), (2, 2)])
    assert [target.decode(wish.tokens) for wish in wishes] == ["See"]
    assert TermTree(glossary, source).sources[0] == tuple(source.encode("cat"))
