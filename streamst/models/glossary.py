"""A session's glossary: source terms and the target terms to say for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamst.errors import InputError
from streamst.languages.english import spoken_english

MAX_TERMS = 20_000
MAX_CHARACTERS = 100  # of a term, either side

Pairs = Mapping[str, str] | Sequence[Sequence[str]]


@dataclass(frozen=True)
class Glossary:
    """Checked terms: (source as it is spoken, target as it is written), no source twice."""

    terms: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)


def make_glossary(pairs: Pairs, where: str = "glossary") -> Glossary:
    """A glossary from a mapping or from (source, target) pairs; without any it is empty and changes nothing.

    Raises InputError that names the entry: not a pair of texts, an empty or too long term, a source without a letter
    that can be spoken, one source with two targets, more than MAX_TERMS.
    """
    if isinstance(pairs, str) or not isinstance(pairs, Mapping | Sequence):
        raise InputError(f"{where}: {type(pairs).__name__} is no list of [source, target] pairs")
    entries = list(pairs.items()) if isinstance(pairs, Mapping) else list(pairs)
    if len(entries) > MAX_TERMS:
        raise InputError(f"{where}: {len(entries)} terms; at most {MAX_TERMS} are allowed")
    terms: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        source, target = _pair(entry, f"{where}: entry {number}")
        if terms.setdefault(source, target) != target:
            raise InputError(
                f"{where}: entry {number}: {source!r} is {terms[source]!r} before and {target!r} here; give one target"
            )
    return Glossary(tuple(terms.items()))


def read_glossary(path: Path) -> Glossary:
    """A glossary from a text file (UTF-8): SOURCE TAB TARGET a line; empty lines and lines from # on do not count.

    Raises InputError that names file, line and what is wrong, as `make_glossary`; also for a file without terms.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"glossary {path}: {error}") from error
    wanted = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not wanted:
        raise InputError(f"glossary {path} holds no terms; each line is SOURCE TAB TARGET")
    for number, line in wanted:
        if line.count("\t") != 1:
            raise InputError(f"glossary {path}, line {number}: {line[:80]!r} is not SOURCE TAB TARGET")
    return make_glossary([line.split("\t") for _, line in wanted], f"glossary {path}")


def _pair(entry: object, where: str) -> tuple[str, str]:
    if isinstance(entry, str) or not isinstance(entry, Sequence) or len(entry) != 2:
        raise InputError(f"{where}: {entry!r:.80} is not a pair of source and target")
    sides = [side.strip() if isinstance(side, str) else side for side in entry]
    for name, side in zip(("source", "target"), sides, strict=True):
        if not isinstance(side, str):
            raise InputError(f"{where}: the {name} {side!r:.80} is not text")
        if not 0 < len(side) <= MAX_CHARACTERS or not side.isprintable():
            raise InputError(f"{where}: the {name} {side!r:.120} has not 1 to {MAX_CHARACTERS} printable characters")
    source, target = (" ".join(str(side).split()) for side in sides)
    spoken = spoken_english(source)
    if not spoken:
        raise InputError(f"{where}: {source!r} has no letter that can be spoken")
    return spoken, target
