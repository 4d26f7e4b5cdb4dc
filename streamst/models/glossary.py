"""A session's glossary: source terms and the target terms to say for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamst.errors import InputError
from streamst.languages.english import spoken_english

MAX_TERMS = 20_000
MAX_CHARACTERS = 100  # of a term, either side

Pairs = Mapping[str, str] | Sequence[Sequence[str]]


@dataclass(frozen=True)
class Glossary:
    """Checked terms: (source as it is spoken, target as it is written), no source twice. A term with the target "" is
    heard, and translated like any other word."""

    terms: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)


def make_glossary(pairs: Pairs, where: str = "glossary") -> Glossary:
    """A glossary from a mapping or from (source, target) pairs; without any it is empty and changes nothing.

    A target that is "" has its source heard only. Raises InputError that names the entry: not a pair of texts, an
    empty or too long term, a source without a letter that can be spoken, one source with two targets, more than
    MAX_TERMS.
    """
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Mapping | Sequence):
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


def sift(
    pairs: Sequence[tuple[str, str]], check: Callable[[Glossary], object]
) -> tuple[Glossary, tuple[tuple[int, str], ...]]:
    """What can be used of `pairs`, and of each other entry its number, from 1, and why not.

    check: raises InputError for terms that a writer cannot write; those are heard only, where it takes that. Raises
    nothing.
    """
    with contextlib.suppress(InputError):
        glossary = make_glossary(pairs)
        check(glossary)
        return glossary, ()
    kept: dict[str, tuple[int, str]] = {}
    left_out: list[tuple[int, str]] = []
    for number, pair in enumerate(pairs, 1):
        try:
            ((source, target),) = make_glossary([pair]).terms
            known = kept.setdefault(source, (number, target))
            if known[1] != target:
                reason = f"{source!r} is {known[1]!r} before and {target!r} here; give one target"
                left_out.append((number, reason))
            elif len(kept) > MAX_TERMS:
                del kept[source]
                left_out.append((number, f"at most {MAX_TERMS} terms are allowed"))
        except InputError as error:
            left_out.append((number, str(error).removeprefix("glossary: entry 1: ")))
    usable = [(number, source, target) for source, (number, target) in kept.items()]
    fine, refused = _written(usable, check)
    return Glossary(tuple((source, target) for _, source, target in fine)), tuple(sorted([*left_out, *refused]))


Numbered = tuple[int, str, str]  # an entry's number, its source and its target


def _written(
    entries: list[Numbered], check: Callable[[Glossary], object]
) -> tuple[list[Numbered], list[tuple[int, str]]]:
    """The entries that pass `check`, and why the others do not: found by halving, since few are bad."""
    try:
        check(Glossary(tuple((source, target) for _, source, target in entries)))
    except InputError as error:
        if len(entries) > 1:
            middle = len(entries) // 2
            (one, bad), (other, worse) = (_written(half, check) for half in (entries[:middle], entries[middle:]))
            return [*one, *other], [*bad, *worse]
        ((number, source, target),) = entries
        heard = _written([(number, source, "")], check)[0] if target else []
        return heard, [(number, str(error).removeprefix("glossary: ") + ("; it is heard only" if heard else ""))]
    return entries, []


def _pair(entry: object, where: str) -> tuple[str, str]:
    if isinstance(entry, str) or not isinstance(entry, Sequence) or len(entry) != 2:
        raise InputError(f"{where}: {entry!r:.80} is not a pair of source and target")
    entry = tuple(entry)
    sides = [side.strip() if isinstance(side, str) else side for side in entry]
    for name, side in zip(("source", "target"), sides, strict=True):
        if not isinstance(side, str):
            raise InputError(f"{where}: the {name} {side!r:.80} is not text")
        if entry[1] == "" and name == "target":
            continue
        if not 0 < len(side) <= MAX_CHARACTERS or not side.isprintable():
            raise InputError(f"{where}: the {name} {side!r:.120} has not 1 to {MAX_CHARACTERS} printable characters")
    source, target = (" ".join(str(side).split()) for side in sides)
    spoken = spoken_english(source)
    if not spoken:
        raise InputError(f"{where}: {source!r} has no letter that can be spoken")
    return spoken, target
