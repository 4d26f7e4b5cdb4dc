"""A client's glossary on the wire: how it comes, and what is told of it."""

from __future__ import annotations

import dataclasses
from typing import Any

from streamst.errors import ProtocolError

from . import codes
from .seam import Configured

TOLD_TERMS, TOLD_CHARACTERS = 20, 100  # of a glossary's terms that are left out


def read_glossary(given: Any, where: str) -> tuple[tuple[str, str], ...]:
    """Terms from an object {source: target} or a list of sources and [source, target] pairs, in which a target that is
    null or "" has its source heard only; ProtocolError 4400 for another shape."""
    entries = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(entries, list):
        raise ProtocolError(
            f"{where}: {type(given).__name__} is no list of [source, target] pairs", codes.BAD_PARAMETER
        )
    terms: list[tuple[str, str]] = []
    for number, entry in enumerate(entries):
        pair = (entry, None) if isinstance(entry, str) else entry
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise ProtocolError(f"{where}[{number}]: {entry!r:.80} is no [source, target] pair", codes.BAD_PARAMETER)
        source, target = pair
        if not isinstance(target, str | None):
            raise ProtocolError(f"{where}[{number}]: the target {target!r:.80} is no text", codes.BAD_PARAMETER)
        terms.append((source, target or ""))
    return tuple(terms)


def told_of_glossary(configured: Configured) -> dict[str, Any]:
    """How many terms are used, and which are not."""
    left_out = [dataclasses.asdict(one) for one in configured.left_out[:TOLD_TERMS]]
    for one in left_out:
        one["source"] = one["source"][:TOLD_CHARACTERS]
    return {"used": configured.terms, "left_out": len(configured.left_out), "reasons": left_out}
