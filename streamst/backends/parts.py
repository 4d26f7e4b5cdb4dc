"""What other people's parts have in common: a name, what must be installed, the files that must be there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from streamst.errors import CheckpointError, InputError, UnavailableError

Make = TypeVar("Make", bound=Callable[..., Any])


@dataclass(frozen=True)
class Languages:
    """What a part's files tell before its weights are read; nothing where they do not tell, or any will do."""

    source: tuple[str, ...] = ()  # what a recogniser hears, a writer reads
    targets: tuple[str, ...] = ()  # what a writer writes, a voice speaks


@dataclass(frozen=True)
class Backend(Generic[Make]):
    """A kind of part. `make` loads one; `look` reads what its files tell, and refuses those that are something else."""

    make: Make
    what: str  # in a few words, for lists
    argument: str = ""  # what stands behind the colon, "DIR"; "" where there is none
    extra: str = ""  # that installs `modules`
    modules: tuple[str, ...] = ()
    program: str = ""  # that has to be installed
    recogniser: str = ""  # without which a writer has nothing to write, by its name
    look: Callable[[str], Languages] = lambda _: Languages()

    def lacks(self) -> str:
        """What is not installed here and how to get it, "" where nothing is lacking."""
        for module in self.modules:
            if find_spec(module) is None:
                return f"{module} is not installed; get it with: pip install 'streamst[{self.extra}]'"
        if self.program and shutil.which(self.program) is None:
            return f"{self.program} is not installed; get it with: apt install {self.program} (or brew, choco)"
        return ""


@dataclass(frozen=True)
class Chosen(Generic[Make]):
    """A backend and its argument, looked at and not loaded: `backend.make(argument, ...)` does that."""

    backend: Backend[Make]
    argument: str
    languages: Languages


def names(backends: Mapping[str, Backend[Any]]) -> str:
    """How each is asked for: "whisper:DIR, moonshine:DIR"."""
    return ", ".join(f"{name}:{backend.argument}".rstrip(":") for name, backend in backends.items())


def chosen(
    kind: str, name: str, backends: Mapping[str, Backend[Make]], own: tuple[str, ...] = ("own",)
) -> Chosen[Make]:
    """The backend that `name` ("whisper:DIR") means; nothing is loaded.

    InputError names what is allowed, `own`, the model's, too; UnavailableError what is not installed, CheckpointError
    the file that is missing or something else.
    """
    word, colon, argument = name.partition(":")
    backend = backends.get(word)
    if backend is None or bool(argument) != bool(backend.argument) or bool(colon) != bool(argument):
        raise InputError(f"{kind} {name!r} is not known; allowed: {', '.join((*own, names(backends)))}")
    lacking = backend.lacks()
    if lacking:
        raise UnavailableError(lacking)
    return Chosen(backend, argument, backend.look(argument))


def imported(extra: str, *names: str) -> list[Any]:
    """Modules of packages that `extra` installs; UnavailableError that names it where one is not there."""
    try:
        return [import_module(name) for name in names]
    except ImportError as error:
        raise UnavailableError(f"{error.name} is not installed; get it with: pip install 'streamst[{extra}]'") from None


def check_files(folder: Path, what: str, *names: str) -> None:
    """CheckpointError that names the first file of `names` that `folder` lacks; "a|b" is one file of two."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder; needed: {what}")
    for name in names:
        if not any((folder / one).is_file() for one in name.split("|")):
            raise CheckpointError(f"{folder} is not {what}: {' or '.join(name.split('|'))} is missing")
