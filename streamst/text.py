"""Text on both sides: the spoken form of English, and the tokens of the networks."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import sentencepiece
from num2words import num2words

from streamst.errors import CheckpointError, InputError

LONGEST_NUMBER = 300  # characters of a number that has a name; longer ones are read digit by digit
WORD_START = "▁"  # sentencepiece's mark: this piece begins a word

_SIGNS = {
    "%": " percent ",
    "&": " and ",
    "$": " dollars ",
    "€": " euros ",
    "£": " pounds ",
    "°": " degrees ",
    "+": " plus ",
}
_TITLES = {"mr.": "mister", "mrs.": "missis", "dr.": "doctor", "st.": "saint", "a.m.": "a m", "p.m.": "p m"}
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:st|nd|rd|th)?")


def spoken_english(text: str) -> str:
    """`text` as the recogniser writes it: lower case, a-z and apostrophes, numbers in words, one space between words.

    Letters with accents lose them; everything else becomes a space.
    """
    text = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‘", "'")).lower()
    text = "".join(c for c in text if not unicodedata.combining(c))
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = " ".join(_TITLES.get(word, word) for word in text.split())
    text = re.sub(r"\b(\d{1,2}):(\d\d)\b", lambda m: f"{m[1]} {m[2]}" if m[2] != "00" else f"{m[1]} o'clock", text)
    text = _NUMBER.sub(lambda m: f" {_in_words(m[0])} ", text)
    text = re.sub(r"[^a-z' ]", " ", text)
    return " ".join(word.strip("'") if word.strip("'") else "" for word in text.split() if word.strip("'"))


def _in_words(number: str) -> str:
    digits = number.replace(",", "")
    if len(digits) > LONGEST_NUMBER:
        return " ".join(str(num2words(int(digit))) for digit in digits if digit.isdigit())
    if not digits[-1].isdigit():
        return str(num2words(int(float(digits[:-2])), to="ordinal"))
    if re.fullmatch(r"1[1-9]\d\d|20[1-9]\d", number):
        return str(num2words(int(number), to="year"))
    return str(num2words(float(digits) if "." in digits else int(digits)))


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
        return "".join(self.pieces[t] for t in tokens if t > self.end).replace(WORD_START, " ").strip()

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


def train_tokenizer(lines: Sequence[str], size: int, model: Path, digits: bool = False) -> Tokenizer:
    """Learn a BPE tokenizer of `size` pieces from `lines` and write it to `model`; InputError where they do not do."""
    made = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=made, vocab_size=size, model_type="bpe", unk_id=0, bos_id=1,
            eos_id=2,
            character_coverage=0.9999, split_digits=digits, normalization_rule_name="nmt_nfkc", minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise InputError(f"no tokenizer of {size} tokens can be learned from {len(lines)} lines: {error}") from error
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(made.getvalue())
    return Tokenizer(model)
