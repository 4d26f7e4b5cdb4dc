"""Where a recording's bytes come from: a file, a pipe, or standard input."""

from __future__ import annotations

import os
import re
import stat
import sys
from io import BufferedReader
from pathlib import Path
from types import TracebackType

from streamst.errors import InputError

STANDARD_INPUT = "-"
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # one slash: a Path keeps no more
HEAD_BYTES = 256


class Source:
    """Bytes from the beginning of a recording. A context manager.

    `read` hands them out once; `peek` looks ahead. `size` is None where only the end will tell. Raises InputError, with
    the name, for what does not exist, is empty, may not be read, or is an address.
    """

    def __init__(self, path: str | os.PathLike[str], file: BufferedReader | None = None) -> None:
        """file: what is read instead of opening `path`, which then is a name."""
        self.name = "standard input" if str(path) == STANDARD_INPUT else str(path)
        self.position = 0  # bytes that were handed out
        self._file = file or (_standard_input() if str(path) == STANDARD_INPUT else _opened(Path(path)))
        self.size = _size(self._file)
        if self.size is not None:
            self._file.seek(0)
        self._ahead = b""
        self.head = self.peek(HEAD_BYTES)
        if not self.head:
            self.close()
            raise InputError(f"{self.name} is empty")

    def whole(self) -> BufferedReader:
        """The file at its beginning, for a reader that goes back and forth; not for pipes, whose `size` is None."""
        self._file.seek(0)
        return self._file

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end; they stay."""
        while len(self._ahead) < count and (more := self._file.read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """At most `count` bytes, as soon as there are some; none at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:count], self._ahead[count:]
        else:
            data = self._file.read1(count)
        self.position += len(data)
        return data

    def skip(self, count: int) -> None:
        """Pass over `count` bytes, or to the end."""
        while count > 0 and (data := self.read(min(count, 1 << 16))):
            count -= len(data)

    def end(self) -> int:
        """Bytes of the whole, once everything was read."""
        return self.position if self.size is None else self.size

    def at(self, position: int, count: int) -> bytes:
        """`count` bytes of a file from `position`; what `read` gives next stays the same."""
        before = self._file.tell()
        self._file.seek(position)
        found = self._file.read(count)
        self._file.seek(before)
        return found

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.name != "standard input":
            self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether what stands there can be read only once, or is standard input, which may be that."""
    return str(path) == STANDARD_INPUT or (Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir())


def _standard_input() -> BufferedReader:
    assert isinstance(sys.stdin.buffer, BufferedReader)
    return sys.stdin.buffer


def _opened(path: Path) -> BufferedReader:
    if path.is_dir():
        raise InputError(f"{path} is a folder, not an audio file")
    if not path.exists():
        address = _ADDRESS.match(str(path))
        if address:
            rest = str(path)[address.end() :].lstrip("/")  # a Path keeps one slash of two
            told = f"{address[1]}://{rest} is an address, and {address[1]} is not read"
            raise InputError(f"{told}: fetch the recording, or pipe it to -")
        raise InputError(f"{path} does not exist")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read by this user")
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}") from error


def _size(file: BufferedReader) -> int | None:
    try:
        told = os.fstat(file.fileno())
    except OSError:  # no file of the system
        return None
    return told.st_size if stat.S_ISREG(told.st_mode) else None
