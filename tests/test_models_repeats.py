"""A writer says again only what was said again to it."""

from __future__ import annotations

import random

import pytest
import torch

from streamst.evaluate.metrics.repetition import repeats_phrase, repeats_word
from streamst.models.write.beam import search
from streamst.models.write.decoding import TensorDecoder
from streamst.models.write.greedy import Draft
from streamst.models.write.network import Writer, WriterConfig
from streamst.models.write.repeats import Pieces, Repeats, Written
from streamst.text import Tokenizer, bare, train_tokenizer

LINES = [
    "Die Wirtschaft der Stadt, die Stadt der Wirtschaft.", "Schreib uns per E-Mail, nicht per Post!",
    "Nach und nach kam einer nach dem anderen an.", "Ja, ja: das Haus, der Hund und der Zug.",
] * 30  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train_tokenizer(LINES, 340, tmp_path_factory.mktemp("pieces") / "tokens.model", digits=True, fallback=True)


def allowed(tokenizer: Tokenizer, source: str, target: str) -> bool:
    """Whether every token of `target` and its end may be written."""
    pieces = Pieces(tokenizer)
    repeats, written = Repeats(source, pieces), Written()
    for token in [*tokenizer.encode(target), Tokenizer.end]:
        after = pieces.added(written, token)
        if not repeats.allow(written, after):
            return False
        written = after
    return True


@pytest.mark.parametrize(
    ("source", "target", "right"),
    [
        ("In the town.", "In der Stadt, in der Stadt.", False),
        ("In the town, in the town.", "In der Stadt, in der Stadt.", True),
        ("In the town, in the town.", "In der Stadt, in der Stadt, in der Stadt.", False),
        ("By e-mail.", "Per E-Mail, e-Mail.", False),
        ("By e-mail.", "Per E-Mail-Mail.", True),  # one word twice running
        ("By e-mail.", "Per E-Mail-Mail-Mail.", False),
        ("Yes.", "Ja, ja.", True),
        ("Yes.", "Ja, ja, ja.", False),
        ("No, no, no!", "Ja, ja, ja.", True),
        ("No, no, no!", "Ja, ja, ja, ja.", False),
        ("c. n. n.", "C. n. n. n.", False),
        ("The house and the dog and the train.", "Das Haus und der Hund und der Zug.", True),
        ("The house.", "Das Haus der Hund, das Haus, der Hund, das Haus.", False),
        ("The house.", "Das Haus der Hund und das Haus Post.", True),
        ("The house.", "Das Haus der Hund und das Haus der Zug.", False),  # three words that were there
        ("A big old house, a big old dog.", "Das Haus der Hund und das Haus der Zug.", True),
        ("", "Das Haus.", True),
    ],
)
def test_what_may_be_said_again(tokenizer: Tokenizer, source: str, target: str, right: bool) -> None:
    assert allowed(tokenizer, source, target) is right


def test_pieces_add_up_to_the_bare_words(tokenizer: Tokenizer) -> None:
    draw, pieces = random.Random(1), Pieces(tokenizer)
    kept = [n for n, piece in enumerate(tokenizer.pieces) if n > Tokenizer.end and not piece.startswith("<0x")]
    for _ in range(200):
        tokens = [draw.choice(kept) for _ in range(draw.randrange(20))]
        written = pieces.read([*tokens, Tokenizer.end])
        assert list(written.words) == bare(tokenizer.decode(tokens)).split()
        assert not written.open


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 2, 4])
def test_no_weights_make_a_writer_repeat_itself(tokenizer: Tokenizer, beams: int) -> None:
    source, tokens = "The dog.", torch.tensor([[1, 9, 12, 2]])
    none = torch.zeros(1, 4, dtype=torch.bool)
    wild = 0
    for seed in range(12):
        torch.manual_seed(seed)
        writer = Writer(WriterConfig(340, 340, 16, 2, 2, 1, 1, alignment_layer=0, shared=True)).eval()
        writer.target.weight.mul_(0.3 + seed / 4)  # from nearly even to very sure
        memory = writer.memory(tokens, none)
        for prefix in ([], tokenizer.encode("Die Wirtschaft der")):
            minds = Repeats(source, Pieces(tokenizer))
            drafts = [Draft(prefix, 40, beams=beams, repeats=one) for one in (minds, None)]
            (found,), (free,) = (search(TensorDecoder(writer), writer.begin(memory, none), [one]) for one in drafts)
            text = tokenizer.decode([*prefix, *found.tokens])
            assert "\ufffd" in text or not repeats_word(text)  # half letters are no words
            assert "\ufffd" in text or not repeats_phrase(text)
            assert len(found.tokens) == len(found.log_probs) == len(found.attention)
            text = tokenizer.decode([*prefix, *free.tokens])
            wild += repeats_word(text) or repeats_phrase(text)
    assert wild
