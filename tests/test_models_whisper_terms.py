"""A glossary reaches the Whisper ear: what is spelled like a term is found and weighed against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from streamst.inventory import ASSETS
from streamst.models.glossary import Glossary, make_glossary
from streamst.models.seam import Hear
from streamst.models.whisper.decoder import DecoderConfig
from streamst.models.whisper.encoder import EncoderConfig
from streamst.models.whisper.recogniser import WhisperConfig, WhisperRecogniser
from streamst.models.whisper.store import PIECES
from streamst.models.whisper.terms import Terms, spans
from streamst.models.whisper.vocabulary import Vocabulary

LETTERS = [bytes([n]) for n in range(97, 123)]
SMALL = [b" ", *LETTERS, b" d", b"og", b" dog", b" c", b"at", b" cat"]


@pytest.fixture(scope="module")
def shipped() -> Vocabulary:
    return Vocabulary.load(ASSETS / "ear" / PIECES)


def glossary_of(*terms: str) -> Glossary:
    return make_glossary([(term, term) for term in terms])


@pytest.mark.parametrize(
    ("term", "tokens"),
    [("ogilvy", (25686, 346, 7670)), ("chautauqua lake", (609, 2306, 559, 39566, 6233)), ("utica", (7273, 3970))],
)
def test_a_term_is_cut_as_whispers_tokenizer_cuts_it(shipped: Vocabulary, term: str, tokens: tuple[int, ...]) -> None:
    (found,) = Terms(glossary_of(term), shipped).near(f"{term}s", 0.3)
    assert found.spellings[0] == tokens
    assert shipped.text(found.spellings[1]) == f" {term}"


def test_what_is_spelled_alike_is_found_among_a_thousand_others(shipped: Vocabulary) -> None:
    others = [f"{a}{b}{c}ing" for a in "bcdfghjklm" for b in "aeiouy" for c in "prstvwxzgnmd"][:600]
    terms = Terms(glossary_of("petherton", "utica", *others), shipped)
    assert [term.letters for term in terms.near(" Pithotan", 0.45)] == ["petherton"]
    assert [term.letters for term in terms.near("You tika", 0.45)] == ["utica"]
    assert terms.near(" elephant", 0.4) == []


def test_what_is_a_term_already_and_what_is_too_short_has_none_near(shipped: Vocabulary) -> None:
    terms = Terms(glossary_of("utica", "at"), shipped)
    assert terms.near("Utica,", 0.1) == []
    assert [term.letters for term in terms.terms] == ["utica"]


def test_a_term_may_have_been_heard_as_up_to_three_words() -> None:
    assert spans([(0, 2), (2, 3), (3, 5), (5, 6)]) == [
        (0, 5), (0, 3), (0, 2), (2, 6), (2, 5), (2, 3), (3, 6), (3, 5), (5, 6)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def ear() -> WhisperRecogniser:
    torch.manual_seed(2)
    count = len(SMALL)
    config = WhisperConfig(
        encoder=EncoderConfig(dim=32, heads=2, layers=2, left=12, again=10), fill=20,
        unlikely=-100.0, unlikely_at_once=-100.0, weak=-100.0, looped=-100.0, doubtful=0.0,
        decoder=DecoderConfig(dim=32, heads=2, layers=2, tokens=count + 3, places=64, alignment=((1, 0), (1, 1))),
        prompt=(count + 1, count + 2), suppressed_first=(0,), most_per_s=4.0,
    )  # fmt: skip
    ear = WhisperRecogniser(config, Vocabulary(SMALL)).eval()
    ear.decoder.tokens.weight.data.mul_(3)
    return ear


def heard(ear: WhisperRecogniser, *terms: str) -> list[str]:
    state = ear.init_state(glossary_of(*terms))
    noise = 0.1 * torch.randn(160_000, generator=torch.Generator().manual_seed(1))
    pieces, certain = noise.split(10_240), 0
    shown: list[str] = []
    for number, piece in enumerate(pieces, 1):
        (state,) = ear.hear_all([Hear(piece.numpy(), state, number == len(pieces))])
        words = [word.text for word in ear.listening(state).words]
        assert words[:certain] == shown[:certain]  # what is certain stays, with a glossary too
        shown, certain = words, ear.listening(state).certain
    return [word.lower() for word in shown]


def test_a_term_is_heard_where_its_bonus_outweighs_what_was_written_and_never_where_it_is_hopeless(
    ear: WhisperRecogniser,
) -> None:
    plain = heard(ear)
    wanted = f"{plain[0][:-1]}x"
    assert wanted not in plain
    ear.config = replace(ear.config, bonus=100.0)
    found = heard(ear, wanted, "zzzz")
    assert found[0].startswith(wanted)
    assert "zzzz" not in found
    ear.config = replace(ear.config, bonus=-100.0)
    assert heard(ear, wanted, "zzzz") == plain
