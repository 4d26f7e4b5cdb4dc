"""A model made ready to serve: translator, voice and codec, and sessions on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any

import torch

from streamst.backends.parts import chosen
from streamst.backends.recognisers import RECOGNISERS
from streamst.backends.voices import VOICES
from streamst.backends.writers import WRITERS
from streamst.codecs.neural import NeuralCodec
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.errors import CheckpointError, InputError
from streamst.heap import keep_small
from streamst.models.glossary import Pairs, make_glossary
from streamst.models.quantise import choose, prepare
from streamst.models.seam import Models, Recogniser, Voice, Writer
from streamst.models.speak.voice import GermanVoice
from streamst.models.translator import SpeechTranslator
from streamst.models.whisper.store import load as load_ear
from streamst.policies.base import Need
from streamst.policies.catalog import LATENCIES, POLICIES, Dial, Setting, latency_setting, read_dial
from streamst.session import Session, SessionOptions

ASSETS = Path(__file__).parent / "assets"
DIAL = "dial.json"  # beside the translator: the latency dial tuned for it
OWN = ("own", "ear")  # recognisers of the model
EAR = "ear"  # folder of the recogniser of that name
MODELS = {"en-de": {"translator": "translator", "codec": "codec", "voice": "voice-de"}}  # folders of `assets`


@dataclass(frozen=True)
class Pipeline:
    """The networks of one language pair on one device."""

    name: str
    models: Models[Any, Any]
    codec: NeuralSpeechCodec | None
    dial: Dial = field(default_factory=lambda: LATENCIES)  # the model's own, where it has one

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
        return self.writer.targets

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
        latency: str = "medium",
        chunk_ms: int | None = None,
        speech: bool = True,
        glossary: Pairs = (),
    ) -> Session[Any, Any]:
        """A session at a position of the latency dial; `policy` ("wait-k", "wait-k:k=5") and `chunk_ms` override it.

        target: the model's first where None is given.

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

    def setting(self, target: str, policy: str | None = None, latency: str = "medium") -> Setting:
        """What these words mean, for `session` and `Session.reconfigure`; InputError as there."""
        if target not in self.targets:
            raise InputError(f"target language {target!r} is not available; allowed: {', '.join(self.targets)}")
        _check_kind("policy", policy, str | None, f"{', '.join(POLICIES)}, or wait-k:k=5 and so on")
        return latency_setting(self.source, target, latency, policy or "", self.dial)


def _check_kind(name: str, value: object, kind: type | UnionType, allowed: str) -> None:
    """InputError for a value that a caller without types may give."""
    if not isinstance(value, kind):
        raise InputError(f"{name} {value!r} is not possible; allowed: {allowed}")


def load(
    name: str = "en-de",
    device: str = "auto",
    precision: str = "float32",
    recogniser: str = "own",
    writer: str = "own",
    voice: str = "own",
    source: str | None = None,
    target: str | None = None,
) -> Pipeline:
    """The model `name` (shipped, or a directory with translator/, codec/ and voice folders) on a device.

    precision: "float32"; "frozen", the same numbers about 1.5 times faster after a second or two more of loading;
    "int8", faster still and not quite the same numbers; or "auto", which is frozen on a CPU (models/quantise.py).

    recogniser, writer, voice: the model's "own", or another's (`streamst/backends`): "whisper:DIR", "piper:FILE". The
    recogniser "ear" is the model's, too: it starts as Whisper, hears people far better, writes case and punctuation,
    and costs more. source, target: languages, for parts that have several; the model's where they are None.

    Everything is looked at before anything is loaded. Raises InputError for an unknown name, device, precision or part,
    and for parts that share no language; CheckpointError for damaged weights and a folder that is something else,
    UnavailableError for what is not installed.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {device!r} is not possible; allowed: auto, cpu, cuda")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' is not available here; allowed: auto, cpu")
    keep_small()
    root = ASSETS if name in MODELS else Path(name)
    if name not in MODELS and not root.is_dir():
        raise InputError(f"model {name!r} is not known; allowed: {', '.join(MODELS)}, or a model directory")
    folders = MODELS.get(name, MODELS["en-de"])
    ear = None if recogniser in OWN else chosen("recogniser", recogniser, RECOGNISERS, OWN)
    pen = None if writer == "own" else chosen("writer", writer, WRITERS)
    speaker = None if voice == "own" else chosen("voice", voice, VOICES)
    precise = choose(precision, device)
    own = prepare(SpeechTranslator.load(root / folders["translator"], device), precise)
    hears = source or own.config.source
    if ear is not None:
        hearing = ear.backend.make(ear.argument, hears)
    else:
        hearing = own.recogniser if recogniser == "own" else load_ear(root / EAR, device)
    writing = own.pen if pen is None else pen.backend.make(pen.argument, hearing.language, target)
    writes = target or writing.targets[0]
    codec = NeuralCodec.load(root / folders["codec"]) if (root / folders["codec"]).is_dir() else None
    speaking = None
    if speaker is not None:
        speaking = speaker.backend.make(speaker.argument, writes, device)
    elif codec is not None and (root / folders["voice"]).is_dir() and GermanVoice.language == writes:
        speaking = GermanVoice.load(root / folders["voice"], codec.to(device), device)
    if name in MODELS and codec is None:
        raise CheckpointError(f"the package is incomplete: {root} lacks the codec")
    tuned = root / folders["translator"] / DIAL
    dial = read_dial(tuned) if tuned.is_file() and pen is None else LATENCIES
    return Pipeline(name, Models(hearing, writing, speaking), None if codec is None else NeuralSpeechCodec(codec), dial)
