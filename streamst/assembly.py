"""Which parts are loaded for a name, and whether they fit together: told before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamst.backends.parts import Chosen, chosen, names
from streamst.backends.recognisers import RECOGNISERS
from streamst.backends.voices import VOICES
from streamst.backends.writers import WRITERS
from streamst.errors import CheckpointError, InputError
from streamst.model_file import FILE, Model, model_named
from streamst.policies.catalog import LATENCY_NAMES

Other = Chosen[Callable[..., Any]]


@dataclass(frozen=True)
class Plan:
    """The parts of a session: folders of the model's own, others' backends."""

    model: Model
    recogniser: Path | Other
    writer: Path | Other
    voice: Path | Other | None
    source: str
    target: str  # who asks for none's
    wanted: str | None  # the only target, where one was named or the writer's files tell none
    names: dict[str, str]  # of the parts, without their arguments, which are this machine's business

    def folders(self) -> list[Path]:
        """Those of the model that are used."""
        codec = self.model.file.codec
        used = (self.recogniser, self.writer, self.voice, None if codec is None else self.model.at(codec))
        return sorted({part for part in used if isinstance(part, Path)})


@dataclass(frozen=True)
class VoicePlan:
    """A voice on its own: no recogniser and no writer say what it has to speak."""

    model: Model
    voice: Path | Other
    language: str


def plan_voice(name: str = "en-de", voice: str | None = None, target: str | None = None) -> VoicePlan:
    """What `load_voice` loads; raises as `plan`."""
    model = model_named(name)
    voice = model.file.defaults.voice if voice is None else voice
    speaker, speaks = _speaker(model, voice)
    language = _shared(speaks, speaks, target, model.file.targets)
    return VoicePlan(model, speaker or model.at(model.file.voices[language]), language)


def _speaker(model: Model, voice: str) -> tuple[Other | None, _Side]:
    """Another's voice, None for the model's own, and what it speaks."""
    speaker = None if voice == "own" else chosen("voice", voice, VOICES)
    if speaker is None and not model.file.voices:
        raise InputError(f"model {model.file.name!r} has no voice of its own; allowed: {names(VOICES)}")
    return speaker, _Side("voice", voice, "speaks", speaker.languages.targets if speaker else tuple(model.file.voices))


def plan(
    name: str = "en-de",
    recogniser: str | None = None,
    writer: str | None = None,
    voice: str | None = None,
    source: str | None = None,
    target: str | None = None,
) -> Plan:
    """What `load` loads. None is the model's own choice.

    Raises InputError for names that are not known and parts that share no language, UnavailableError for what is not
    installed, CheckpointError for files that are missing or something else.
    """
    model = model_named(name)
    file = model.file
    if file.defaults.latency not in LATENCY_NAMES:
        place = f"{model.folder / FILE}: defaults.latency is {file.defaults.latency!r}"
        raise CheckpointError(f"{place}; allowed: {', '.join(LATENCY_NAMES)}")
    kept = voice is None and file.defaults.voice == "own"  # its silence about a language is no error
    recogniser = file.defaults.recogniser if recogniser is None else recogniser
    writer = file.defaults.writer if writer is None else writer
    voice = file.defaults.voice if voice is None else voice
    ear = pen = None
    if recogniser not in file.recognisers:
        ear = chosen("recogniser", recogniser, RECOGNISERS, tuple(file.recognisers))
    if writer not in file.writers:
        pen = chosen("writer", writer, WRITERS, tuple(file.writers))
    needed = pen.backend.recogniser if pen else ""
    if needed and recogniser.partition(":")[0] != needed:
        raise InputError(f"writer {writer!r} needs the recogniser {needed}:DIR, not {recogniser!r}")
    speaker, speaks = (None, None) if kept else _speaker(model, voice)
    hears = _Side("recogniser", recogniser, "hears", ear.languages.source if ear else (file.source,))
    reads = _Side("writer", writer, "reads", pen.languages.source if pen else (file.source,))
    spoken = _shared(hears, reads, source, (file.source,))
    written = pen.languages.targets if pen else file.targets  # of many languages, all but the one that it reads
    others = tuple(one for one in written if one != spoken) or written
    writes = _Side("writer", writer, "writes", others)
    written = _shared(writes, speaks or writes, target, file.targets)
    return Plan(
        model=model,
        recogniser=ear or model.at(file.recognisers[recogniser]),
        writer=pen or model.at(file.writers[writer]),
        voice=speaker or (model.at(file.voices[written]) if written in file.voices else None),
        source=spoken,
        target=written,
        wanted=target if target is not None or writes.languages else written or None,
        names={kind: part.partition(":")[0] for kind, part in
               (("recogniser", recogniser), ("writer", writer), ("voice", voice))},
    )  # fmt: skip


@dataclass(frozen=True)
class _Side:
    """A part where it meets another. languages: () where its files do not tell."""

    kind: str
    name: str
    does: str
    languages: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} {self.does} {', '.join(self.languages)}"


def _shared(one: _Side, other: _Side, wanted: str | None, usual: tuple[str, ...]) -> str:
    """The language in which two parts meet: `wanted`, else the first of `usual` that both have or that neither denies,
    else the only one."""
    if wanted is not None:
        for side in (one, other):
            if side.languages and wanted not in side.languages:
                allowed = ", ".join(side.languages)
                raise InputError(f"{side}, not {wanted!r}; allowed: {allowed}, or another {side.kind}")
        return wanted
    both = [lang for lang in one.languages or other.languages if not other.languages or lang in other.languages]
    if one.languages and not both:
        raise InputError(f"{one}, {other}: they share no language")
    found = next((lang for lang in usual if lang in both or not both), "") or both[0]
    if found not in usual and len(both) > 1:
        named = "source (--from)" if one.kind == "recogniser" else "target (--to)"
        raise InputError(f"{one}: which of these? name {named}")
    return found
