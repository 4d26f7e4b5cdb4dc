"""A translation model in CTranslate2's format: OPUS-MT (Marian), NLLB or M2M-100, with its vocabulary and pair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from streamst.errors import CheckpointError, InputError
from streamst.text import WORD_START

from .parts import Languages, check_files, imported

WHAT = "a translation model in CTranslate2's format"
SOURCES = "source.spm|sentencepiece.bpe.model|sentencepiece.model"
VOCABULARIES = "target_vocabulary.json|shared_vocabulary.json|target_vocabulary.txt|shared_vocabulary.txt"
PAIR = "tokenizer_config.json"
FILES = ("model.bin", "config.json", VOCABULARIES, SOURCES)
# NLLB's names of languages; the first three letters are ISO 639-3, which OPUS-MT's models of many languages take.
NAMES = {
    "ar": "arb_Arab", "bg": "bul_Cyrl", "bn": "ben_Beng", "ca": "cat_Latn", "cs": "ces_Latn", "da": "dan_Latn",
    "de": "deu_Latn", "el": "ell_Grek", "en": "eng_Latn", "es": "spa_Latn", "et": "est_Latn", "fa": "pes_Arab",
    "fi": "fin_Latn", "fr": "fra_Latn", "he": "heb_Hebr", "hi": "hin_Deva", "hr": "hrv_Latn", "hu": "hun_Latn",
    "id": "ind_Latn", "is": "isl_Latn", "it": "ita_Latn", "lt": "lit_Latn", "lv": "lvs_Latn", "mk": "mkd_Cyrl",
    "nl": "nld_Latn", "no": "nob_Latn", "pl": "pol_Latn", "pt": "por_Latn", "ro": "ron_Latn", "ru": "rus_Cyrl",
    "sk": "slk_Latn", "sl": "slv_Latn", "sq": "als_Latn", "sr": "srp_Cyrl", "sv": "swe_Latn", "sw": "swh_Latn",
    "ta": "tam_Taml", "tr": "tur_Latn", "uk": "ukr_Cyrl", "ur": "urd_Arab", "vi": "vie_Latn",
}  # fmt: skip


@dataclass(frozen=True)
class _Files:
    """What stands beside a model's weights. reads: pieces of the source; adds_end: whether the library adds it."""

    end: str
    unknown: str
    adds_end: bool
    pieces: list[str]
    reads: set[str]
    sentencepiece: Any

    @classmethod
    def read(cls, folder: Path) -> _Files:
        """CheckpointError that names what is missing, damaged or of another model."""
        check_files(folder, WHAT, *FILES)
        try:
            settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            end, unknown = str(settings["eos_token"]), str(settings["unk_token"])
            pieces = _vocabulary(folder, VOCABULARIES)
            reads = set(_vocabulary(folder, VOCABULARIES.replace("target", "source")))
            spm: Any = sentencepiece.SentencePieceProcessor(model_file=str(_first(folder, SOURCES)))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(f"{folder} is not {WHAT}: {_line(error)}") from None
        size = int(spm.get_piece_size())
        known = sum(spm.id_to_piece(number) in reads for number in range(size))
        if 2 * known < size:
            raise CheckpointError(
                f"{_first(folder, SOURCES)} does not fit the model: {known} of its {size} pieces are in the vocabulary"
            )
        if end not in pieces:
            raise CheckpointError(f"the vocabulary of {folder} does not fit the model: it lacks {end!r}")
        return cls(end, unknown, bool(settings.get("add_source_eos")), pieces, reads, spm)


class TranslationModel:
    """The weights, the pieces of both languages and what stands before a sentence; one thread."""

    def __init__(self, folder: Path, source: str, target: str | None) -> None:
        """target: None for all that the model writes. UnavailableError where the extra `ct2` is not installed,
        CheckpointError that names a missing or damaged file, InputError for a language that the model does not read
        or write."""
        (library,) = imported("ct2", "ctranslate2")
        files = _Files.read(folder)
        self.end, self.unknown, self.pieces, reads = files.end, files.unknown, files.pieces, files.reads
        self._closing = [] if files.adds_end else [self.end]
        self._sentencepiece = files.sentencepiece
        try:
            self.run: Any = library.Translator(str(folder), device="cpu", compute_type="int8", intra_threads=1)
        except Exception as error:  # noqa: BLE001  (the library raises kinds of its own)
            raise CheckpointError(f"{folder} is not {WHAT}: {_line(error)}") from None
        tried = self.run.translate_batch(
            [[self.unknown]], beam_size=1, max_decoding_length=1, return_logits_vocab=True, return_end_token=True
        )
        size = int(np.array(tried[0].logits[0][0]).size)
        if size != len(self.pieces):
            raise CheckpointError(
                f"the vocabulary of {folder} does not fit the model: {len(self.pieces)} pieces, needed: {size}"
            )
        self._silent = {self.end, self.unknown, "<s>", "<pad>"}
        self.ids = {piece: number for number, piece in enumerate(self.pieces)}
        self.targets, self._before, self.prefixes = _languages(folder, source, target, reads)
        self._silent |= {mark for marks in (*self._before.values(), *self.prefixes.values()) for mark in marks}
        self.spell = lru_cache(maxsize=65_536)(self._spell)
        self.starts_word = np.array([piece.startswith(WORD_START) for piece in self.pieces])
        self.may_follow = self.starts_word.copy()  # what may stand after a committed word
        self.may_follow[self.ids[self.end]] = True

    def sentence(self, tokens: Sequence[str], target: str) -> tuple[list[str], int]:
        """What the model reads for `tokens`, and how many of its marks stand before them."""
        before = self._before[target]
        return [*before, *tokens, *self._closing], len(before)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of target tokens; marks of the model are silent."""
        shown = (self.pieces[token] for token in tokens if self.pieces[token] not in self._silent)
        return "".join(shown).replace(WORD_START, " ").strip()

    def _spell(self, word: str) -> tuple[str, ...]:
        return tuple(self._sentencepiece.encode(word, out_type=str))


def languages_of(folder: Path) -> Languages:
    """What the model in `folder` reads and writes, as far as its files tell; CheckpointError that names what is missing
    or damaged."""
    many = _many(_Files.read(folder).reads)
    return Languages(many, many) if many else Languages(*((one,) if one else () for one in _named(folder)))


def _languages(
    folder: Path, source: str, target: str | None, pieces: set[str]
) -> tuple[tuple[str, ...], dict[str, list[str]], dict[str, list[str]]]:
    """What the model writes, and for each what stands before the source and what the translation begins with.

    InputError for a language without a mark in a vocabulary that marks languages, and for another pair.
    """
    many = tuple(one for one in _many(pieces) if one != source)
    if many:
        targets = many if target is None else (target,)
        before = [_mark(folder, source, pieces)]
        return targets, dict.fromkeys(targets, before), {one: [_mark(folder, one, pieces)] for one in targets}
    reads, writes = _named(folder)
    if reads not in ("", source) or (target and writes not in ("", target)):
        raise InputError(f"{folder} translates {reads!r} to {writes!r}; needed: {source!r} to {target or writes!r}")
    wrote = target or writes
    if not wrote:
        raise InputError(f"{folder} does not say what it translates to: {PAIR} is missing, and no language was asked")
    marked = any(piece.startswith(">>") for piece in pieces)  # OPUS-MT's of one language to many
    return (wrote,), {wrote: [_mark(folder, wrote, pieces)] if marked else []}, {wrote: []}


def _many(pieces: set[str]) -> tuple[str, ...]:
    """The languages that an NLLB or M2M-100 has marks of, () for another model."""
    known = tuple(one for one in NAMES if {NAMES[one], f"__{one}__"} & pieces)
    return known if len(known) > 1 else ()


def _mark(folder: Path, language: str, pieces: set[str]) -> str:
    """The piece that names `language`; InputError where there is none."""
    name = NAMES.get(language, language)
    for piece in (name, f"__{language}__", f">>{name[:3]}<<", f">>{language}<<"):
        if piece in pieces:
            return piece
    raise InputError(f"{folder} does not know the language {language!r}: its vocabulary has no mark of it")


def _named(folder: Path) -> tuple[str, str]:
    """What a model of one pair reads and writes by its folder; "" where it does not say so, or says "many"."""
    file = folder / PAIR
    try:
        said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        named = [str(said.get(key) or "") for key in ("source_lang", "target_lang")]
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{file} is no settings of a tokenizer: {_line(error)}") from None
    shorter = {name[:3]: one for one, name in NAMES.items()}
    reads, writes = (shorter.get(one, one if len(one) <= 3 and one != "mul" else "") for one in named)
    return reads, writes


def _first(folder: Path, names: str) -> Path:
    """The first file of "a|b" that is there."""
    return next(folder / name for name in names.split("|") if (folder / name).is_file())


def _vocabulary(folder: Path, names: str) -> list[str]:
    """The pieces of the model in the order of their numbers; ValueError for another kind of file."""
    file = _first(folder, names)
    text = file.read_text(encoding="utf-8")
    pieces = json.loads(text) if file.suffix == ".json" else text.splitlines()
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise ValueError(f"{file.name} is no list of pieces")
    return pieces


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
