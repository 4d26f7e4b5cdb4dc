"""TAED: a transducer whose predictor is the attention decoder, which reads the speech too. Tang et al., ACL 2023."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from .knobs import check
from .transducer import Transducer


@dataclass(frozen=True)
class Taed(Transducer):
    """As `Transducer`, on the lattice of the attention decoder: it re-reads the speech up to each frame, so a word
    may be put off until its place in the target language is known."""

    mode: ClassVar[Literal["transducer", "taed"]] = "taed"
    choose_when: ClassVar[str] = "the model has a TAED head: a trained policy for languages in another order"

    def __post_init__(self) -> None:
        check(self, "taed")
