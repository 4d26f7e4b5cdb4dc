"""A model made ready to serve: translator, voice and codec, and sessions on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any

import torch

from streamst.assembly import Plan, plan, plan_voice
from streamst.backends.parts import Chosen
from streamst.codecs.neural import NeuralCodec
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.errors import InputError
from streamst.heap import keep_small
from streamst.model_file import DIAL, kind_of
from streamst.models.glossary import Pairs, make_glossary
from streamst.models.quantise import Precision, choose, freeze_writer, prepare
from streamst.models.seam import Models, Recogniser, Voice, Writer
from streamst.models.speak.voice import GermanVoice
from streamst.models.translator import SpeechTranslator
from streamst.models.whisper import store as ear_store
from streamst.models.write import store as pen_store
from streamst.policies.base import Need
from streamst.policies.catalog import POLICIES, Dial, Setting, latency_setting, read_dial
from streamst.session import Session, SessionOptions


@dataclass(frozen=True)
class Pipeline:
    """The networks of one language pair on one device."""

    name: str
    models: Models[Any, Any]
    codec: NeuralSpeechCodec | None
    dial: Dial = field(default_factory=dict[str, Mapping[str, Setting]])  # tuned for the model, by language pair
    target: str = ""  # of sessions that name none; "": the writer's first
    latency: str = "medium"  # of sessions that name none
    parts: Mapping[str, str] = field(default_factory=dict[str, str])  # recogniser, writer and voice by their names

    @property
    def recogniser(self) -> Recogniser[Any]:
        """What hears."""
        return self.models.recogniser

    @property
    def writer(self) -> Writer:
        """What translates."""
        return self.models.writer

    @property
    def voice(self) -> Voice[Any] | None:
        """What speaks."""
        return self.models.voice

    @property
    def source(self) -> str:
        """The language that is spoken."""
        return self.recogniser.language

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages that it is translated to; the first is who asks for none's."""
        return tuple(sorted(self.writer.targets, key=lambda target: target != self.target))

    @property
    def provides(self) -> frozenset[Need]:
        """What policies get."""
        return self.models.provides

    @property
    def sample_rate_hz(self) -> int:
        """Of what sessions hear."""
        return self.recogniser.sample_rate_hz

    def session(
        self,
        target: str | None = None,
        policy: str | None = None,
        latency: str | None = None,
        chunk_ms: int | None = None,
        speech: bool = True,
        glossary: Pairs = (),
    ) -> Session[Any, Any]:
        """A session at a position of the latency dial; `policy` ("wait-k", "wait-k:k=5") and `chunk_ms` override it.

        target, latency: the model's own choice where None is given.

        glossary: source term -> target term, as a mapping or pairs; captions and translation are pulled towards them.
        Raises InputError naming what is allowed for an unknown target, policy, parameter, latency or chunk, or what is
        wrong with the glossary.
        """
        target = self.targets[0] if target is None else target
        setting = self.setting(target, policy, latency)
        _check_kind("speech", speech, bool, "True, False")
        terms = make_glossary(glossary).terms
        options = SessionOptions(target, setting.chunk_ms if chunk_ms is None else chunk_ms, speech, terms)
        return Session(self.models, setting.make(), options)

    def setting(self, target: str, policy: str | None = None, latency: str | None = None) -> Setting:
        """What these words mean, for `session` and `Session.reconfigure`; InputError as there."""
        if target not in self.targets:
            raise InputError(f"target language {target!r} is not available; allowed: {', '.join(self.targets)}")
        _check_kind("policy", policy, str | None, f"{', '.join(POLICIES)}, or wait-k:k=5 and so on")
        return latency_setting(self.source, target, latency or self.latency, policy or "", self.dial)


def _check_kind(name: str, value: object, kind: type | UnionType, allowed: str) -> None:
    """InputError for a value that a caller without types may give."""
    if not isinstance(value, kind):
        raise InputError(f"{name} {value!r} is not possible; allowed: {allowed}")


def load(
    name: str = "en-de",
    device: str = "auto",
    precision: str = "float32",
    recogniser: str | None = None,
    writer: str | None = None,
    voice: str | None = None,
    source: str | None = None,
    target: str | None = None,
    threads: int | None = 1,
) -> Pipeline:
    """The model `name` (shipped, or a folder with `model.json`) on a device.

    precision: "float32"; "frozen", about 1.5 times faster after a second or two more of loading, the same numbers but
    for the pen's, whose weights get 8 bits, so that it writes another word now and then; "int8", faster still and not
    quite the same numbers; "onnx", pen and voice in ONNX Runtime and the rest frozen; or "auto", which is frozen on a
    CPU (models/quantise.py).

    recogniser, writer, voice: the model's "own", or another's (`streamst/backends`): "whisper:DIR", "piper:FILE". The
    shipped model has a second recogniser, its default: "ear" starts as Whisper, hears people far better than "own",
    writes case and punctuation, and costs more; and a second writer, its default: "pen", of more registers. source,
    target: languages, for parts that have several. None leaves a choice to the model.

    threads: of PyTorch in this process, where the device is a CPU: a second one waits for the first at every small
    step, and on busy cores both stand still. None leaves them as they are.

    What is asked for is looked at before anything is loaded. Raises InputError for an unknown name, device, precision
    or part, and for parts that share no language; CheckpointError for damaged weights and a folder that is something
    else, UnavailableError for what is not installed.
    """
    device = _device(device)
    precise, parts = choose(precision, device), plan(name, recogniser, writer, voice, source, target)
    file = parts.model.file
    dial = _dial(parts)
    keep_small()
    if device == "cpu" and threads is not None:
        torch.set_num_threads(threads)
    codec = None if file.codec is None else NeuralCodec.load(parts.model.at(file.codec)).to(device)
    translator = cache(lambda folder: prepare(SpeechTranslator.load(folder, device), precise))
    hearing, writing = _recogniser(parts, translator, device), _writer(parts, translator, device, precise)
    usual = parts.target
    speaking = None if parts.voice is None else _voice(parts.voice, usual, codec, device)
    if precise == "onnx" and isinstance(speaking, GermanVoice) and isinstance(parts.voice, Path):
        speaking.by_graphs(parts.voice, parts.model.at(file.codec or ""))
    models: Models[Any, Any] = Models(hearing, writing, speaking)
    wire = None if codec is None else NeuralSpeechCodec(codec, directory=parts.model.at(file.codec or ""))
    return Pipeline(file.name, models, wire, dial, usual, file.defaults.latency, parts.names)


def _dial(parts: Plan) -> Dial:
    """What was tuned for the writer: the model's for its own, else a file in the writer's folder."""
    file, writer = parts.model.file, parts.names["writer"]
    if writer == "own":
        return read_dial(parts.model.at(file.dial)) if file.dial else {}
    path = parts.model.at(file.writers[writer]) / DIAL if writer in file.writers else None
    return read_dial(path) if path is not None and path.is_file() else {}


def load_voice(
    name: str = "en-de", device: str = "auto", voice: str | None = None, target: str | None = None
) -> Voice[Any]:
    """The voice of the model `name`, or another's, alone: of any language. Raises as `load`."""
    device, part = _device(device), plan_voice(name, voice, target)
    keep_small()
    if device == "cpu":
        torch.set_num_threads(1)
    folder = part.model.file.codec if isinstance(part.voice, Path) else None
    codec = None if folder is None else NeuralCodec.load(part.model.at(folder)).to(device)
    found = _voice(part.voice, part.language, codec, device)
    if found is None:
        raise InputError(f"model {part.model.file.name!r} has no codec, which its voice speaks through")
    return found


def _device(device: str) -> str:
    """What `device` means here; InputError for one that is not known, or not here."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {device!r} is not possible; allowed: auto, cpu, cuda")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' is not available here; allowed: auto, cpu")
    return device


def _recogniser(parts: Plan, translator: Callable[[Path], SpeechTranslator], device: str) -> Recogniser[Any]:
    part = parts.recogniser
    if isinstance(part, Chosen):
        return part.backend.make(part.argument, parts.source)
    return ear_store.load(part, device) if kind_of(part) == ear_store.KIND else translator(part).recogniser


def _voice(
    part: Path | Chosen[Callable[..., Any]], language: str, codec: NeuralCodec | None, device: str
) -> Voice[Any] | None:  # fmt: skip
    """None for a voice of ours without the codec through which it speaks."""
    if isinstance(part, Chosen):
        return part.backend.make(part.argument, language, device)
    return None if codec is None else GermanVoice.load(part, codec, device)


def _writer(
    parts: Plan, translator: Callable[[Path], SpeechTranslator], device: str, precision: Precision
) -> Writer:  # fmt: skip
    part = parts.writer
    if isinstance(part, Chosen):
        return part.backend.make(part.argument, parts.source, parts.wanted)
    if kind_of(part) != pen_store.KIND:
        return translator(part).pen
    writer = pen_store.load(part, device)
    if precision == "onnx":
        writer.by_graphs(part)
    elif precision != "float32":
        writer.network.quicken()
        freeze_writer(writer.network)
    return writer
