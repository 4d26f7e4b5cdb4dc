"""The tokens of the networks: sentencepiece models that know where words end."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import sentencepiece

from streamst.errors import CheckpointError, InputError

_SAME = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "’": "'", "‘": "'", "‚": "'", "´": "'",
                       "`": "'", "–": "-", "—": "-", "\u00a0": " ", "\u00ad": None})  # fmt: skip
_LETTERS = re.compile(r"[^\W\d_]+")
WORD_START = "▁"  # sentencepiece's mark: this piece begins a word


def plain_marks(text: str) -> str:
    """One kind of quotation mark, apostrophe, dash and space; an ellipsis is three dots behind their word."""
    text = text.translate(_SAME).replace("…", "...").replace(" ...", "...").replace("....", "...")
    return " ".join(text.split())


def bare(text: str) -> str:
    """`text` in lower case, a space in place of all but letters and digits: what words are compared by."""
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in text.casefold())


def shorter_case(text: str, tokenizer: Tokenizer) -> str:
    """`text` with `plain_marks`, in lower case the words that are a token so and more as they stand: at a sentence's
    beginning and in a title they stay the words that a network knows."""
    return " ".join(_shorter(word, tokenizer) for word in plain_marks(text).split())


def _shorter(word: str, tokenizer: Tokenizer) -> str:
    found = _LETTERS.search(word)
    if found is None or (small := found[0].lower()) == found[0]:
        return word
    known = len(tokenizer.encode(small)) == 1 < len(tokenizer.encode(found[0]))
    return word.lower() if known else word


class Tokenizer:
    """A sentencepiece model: text to ids and back. Ids 0..size-1; 0 unknown, 1 begin, 2 end of sentence."""

    unknown, begin, end = 0, 1, 2

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise CheckpointError(f"tokenizer {model} does not exist")
        self.model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        except (RuntimeError, OSError) as error:
            raise CheckpointError(f"{model} is no tokenizer: {error}") from error
        self.size = int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without begin and end."""
        return list(self._processor.encode(text, out_type=int))

    def sample(self, text: str, alpha: float = 0.2) -> list[int]:
        """A random segmentation of `text` (subword regularisation; BPE-dropout for BPE models)."""
        return list(self._processor.encode(text, out_type=int, enable_sampling=True, alpha=alpha, nbest_size=-1))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`; begin, end and unknown are silent."""
        kept = [int(t) for t in tokens if t > self.end]
        if self.byte_tokens.isdisjoint(kept):
            return "".join(self.pieces[t] for t in kept).replace(WORD_START, " ").strip()
        return str(self._processor.decode(kept))  # it alone joins the bytes of a letter

    @cached_property
    def byte_tokens(self) -> frozenset[int]:
        """Those that are a byte of a letter which is no piece."""
        return frozenset(i for i in range(self.size) if self._processor.is_byte(i))

    @cached_property
    def pieces(self) -> list[str]:
        """The text of every id."""
        return [self._processor.id_to_piece(i) for i in range(self.size)]

    @cached_property
    def starts_word(self) -> list[bool]:
        """For every id, whether it begins a new word."""
        return [piece.startswith(WORD_START) for piece in self.pieces]

    def word_ends(self, tokens: Sequence[int], finished: bool) -> tuple[int, ...]:
        """n for which tokens[:n] ends with a complete word, ascending: where the next token begins a word, and the end
        of the sentence where `finished`."""
        ends = [n for n in range(1, len(tokens)) if self.starts_word[tokens[n]]]
        return (*ends, len(tokens)) if finished and tokens else tuple(ends)


def train_tokenizer(
    lines: Sequence[str], size: int, model: Path, digits: bool = False, fallback: bool = False
) -> Tokenizer:
    """Learn a BPE tokenizer of `size` pieces from `lines` and write it to `model`; InputError where they do not do.

    digits: each is a piece of its own. fallback: letters that are no piece are written as their bytes.
    """
    made = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=made, vocab_size=size, model_type="bpe", unk_id=0, bos_id=1,
            eos_id=2,
            character_coverage=0.9999, split_digits=digits, byte_fallback=fallback,
            normalization_rule_name="nmt_nfkc", minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise InputError(f"no tokenizer of {size} tokens can be learned from {len(lines)} lines: {error}") from error
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(made.getvalue())
    return Tokenizer(model)
