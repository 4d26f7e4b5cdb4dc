"""Whisper's tokens as text: the bytes of each (byte-level BPE as in GPT-2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamst.errors import CheckpointError


class Vocabulary:
    """Numbers to text; everything from the end of text on is no text."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = tuple(pieces)
        self.end = len(pieces)  # of text; then begin of transcript, languages, tasks, times
        self.starts_word = [piece.startswith(b" ") for piece in pieces]

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Of a file with a piece a line in hexadecimal digits, in order; CheckpointError names a line that is none."""
        pieces = []
        for number, line in enumerate(path.read_text("ascii").splitlines(), 1):
            try:
                pieces.append(bytes.fromhex(line))
            except ValueError as error:
                raise CheckpointError(f"{path}, line {number}: {line[:40]!r} is no piece of text") from error
        return cls(pieces)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`; bytes that make no letter (yet) are left out."""
        return b"".join(self.pieces[token] for token in tokens if token < self.end).decode("utf-8", "ignore")


def byte_pieces(tokens: Sequence[str]) -> list[bytes]:
    """The bytes of GPT-2's printable stand-ins for them, in which vocabularies are written."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in shown}
    table |= {chr(256 + n): byte for n, byte in enumerate(b for b in range(256) if b not in shown)}
    return [bytes(table[letter] for letter in token) for token in tokens]
