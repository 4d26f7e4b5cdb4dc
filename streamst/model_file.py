"""`model.json`: what a model offers, and in which folder each part of it stands.

    {"format": 1, "name": "en-de", "source": "en", "targets": ["de"], "recognisers": {"own": ".", "ear": "../ear"},
     "writers": {"own": ".", "pen": "../pen"}, "voices": {"de": "../voice-de"}, "codec": "../codec",
     "dial": "dial.json",
     "defaults": {"recogniser": "ear", "writer": "pen", "voice": "own", "latency": "medium"}}

Folders count from the model's own. A part's `config.json` says of which kind it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from streamst.config import from_dict
from streamst.errors import CheckpointError, ConfigError, InputError
from streamst.inventory import ASSETS

FILE = "model.json"
DIAL = "dial.json"  # in the folder of a writer that is not the model's own
FORMAT = 1
SHIPPED = {"en-de": "translator"}  # models of the package, by name: folders of ASSETS
KINDS = {  # that a part's folder may be of
    "recognisers": ("translator", "whisper"), "writers": ("translator", "text-writer"), "voices": ("voice",),
    "codec": ("codec",),
}  # fmt: skip


@dataclass(frozen=True)
class Defaults:
    """What a session has where nobody chose."""

    recogniser: str = "own"  # a name of `recognisers`
    writer: str = "own"  # a name of `writers`
    voice: str = "own"  # or one of streamst/backends/voices.py
    latency: str = "medium"  # a position of the dial


@dataclass(frozen=True)
class ModelFile:
    """The file's contents."""

    name: str
    source: str  # the language that is spoken
    targets: tuple[str, ...]  # that are written; the first is who asks for none's
    recognisers: dict[str, str] = field(default_factory=lambda: {"own": "."})
    writers: dict[str, str] = field(default_factory=lambda: {"own": "."})
    voices: dict[str, str] = field(default_factory=dict)  # by the language that they speak
    codec: str | None = None  # carries audio on the wire; the voices need it
    dial: str | None = None  # a file of latency positions
    defaults: Defaults = field(default_factory=Defaults)
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Into `folder`, which is made where it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Model:
    """A model's file and where it stands. All its parts were looked at; none is loaded."""

    folder: Path
    file: ModelFile

    def at(self, place: str) -> Path:
        """A folder or file that the model's file names."""
        return Path(os.path.normpath(self.folder / place))

    def parts(self) -> dict[str, Path]:
        """The folder of each part, by what it is called: "recognisers.own", "writers.own", "voices.de", "codec"."""
        file = self.file
        groups = {"recognisers": file.recognisers, "writers": file.writers, "voices": file.voices}
        named = {f"{kind}.{name}": place for kind, places in groups.items() for name, place in places.items()}
        named |= {} if file.codec is None else {"codec": file.codec}
        return {name: self.at(place) for name, place in named.items()}

    def moved(self, folder: Path) -> ModelFile:
        """The file as it would stand in `folder`: the model's own folder is that one, other parts stay where they are.

        Without the dial, which was tuned for weights that are another's there."""

        def seen(place: str) -> str:
            return "." if self.at(place) == self.at(".") else os.path.relpath(self.at(place), folder)

        file = self.file
        return replace(
            file,
            recognisers={name: seen(place) for name, place in file.recognisers.items()},
            writers={name: seen(place) for name, place in file.writers.items()},
            voices={lang: seen(place) for lang, place in file.voices.items()},
            codec=None if file.codec is None else seen(file.codec),
            dial=None,
        )


def model_named(name: str) -> Model:
    """The model `name`: shipped, or a directory. InputError names what is allowed, CheckpointError the file that is
    missing or wrong; nothing is loaded."""
    folder = ASSETS / SHIPPED[name] if name in SHIPPED else Path(name)
    if name in SHIPPED and not folder.is_dir():
        raise CheckpointError(f"the package is incomplete: {folder} does not exist")
    if not folder.is_dir():
        raise InputError(f"model {name!r} is not known; allowed: {', '.join(SHIPPED)}, or a folder with {FILE}")
    return read_model(folder)


def read_model(folder: Path) -> Model:
    """The model in `folder`. Raises CheckpointError as `model_named`."""
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no model: {FILE} is missing; `streamst train` writes it") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{path} holds {values!r:.40}; allowed: an object with format, name, source, targets")
    if values.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {values.get('format')!r} is not possible; allowed: {FORMAT}")
    try:
        model = Model(folder, from_dict(ModelFile, values, str(path)))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    _check(model, path)
    return model


def _check(model: Model, path: Path) -> None:
    file = model.file
    if not file.targets:
        raise CheckpointError(f"{path}: targets is empty; needed: a language such as 'de'")
    for kind, places, usual in (
        ("recogniser", file.recognisers, file.defaults.recogniser), ("writer", file.writers, file.defaults.writer),
    ):  # fmt: skip
        if "own" not in places:
            raise CheckpointError(f"{path}: {kind}s has {', '.join(places) or 'nothing'}; needed: own")
        if usual not in places:
            raise CheckpointError(f"{path}: defaults.{kind} is {usual!r}; allowed: {', '.join(places)}")
    for language in set(file.voices) - set(file.targets):
        raise CheckpointError(
            f"{path}: voices.{language} speaks what is not written; allowed: {', '.join(file.targets)}"
        )
    if file.voices and file.codec is None:
        raise CheckpointError(f"{path}: voices need the codec whose sound they make, and codec is missing")
    if file.dial is not None and not model.at(file.dial).is_file():
        raise CheckpointError(f"{path}: dial is {file.dial!r}, and {model.at(file.dial)} is missing")
    for name, part in model.parts().items():
        allowed = KINDS[name.partition(".")[0]]
        if kind_of(part) not in allowed:
            what = f"is of kind {kind_of(part)!r}" if kind_of(part) else "is no folder with config.json and weights"
            raise CheckpointError(f"{path}: {name} is {part}, which {what}; allowed: kind {' or '.join(allowed)}")


def kind_of(part: Path) -> str:
    """Of which kind the network in a part's folder is; "" where there is none."""
    if not (part / "weights.safetensors").is_file():
        return ""
    try:
        return str(json.loads((part / "config.json").read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
