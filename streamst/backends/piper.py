"""Voices of Piper (VITS networks in ONNX, phonemes by eSpeak NG): one file a voice; extra `piper`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from streamst.errors import CheckpointError, InputError
from streamst.models.seam import Pcm

from .parts import imported
from .phrases import PhraseVoice

MIN_RATE_HZ = 16_000


def piper_voice(file: Path, language: str) -> PhraseVoice:
    """The voice in `file` (NAME.onnx, with NAME.onnx.json beside it), on one thread.

    UnavailableError where the extra `piper` is not installed, CheckpointError that names a missing or damaged file,
    InputError for a voice that speaks another language than `language`, or below 16 kHz.
    """
    piper, config, runtime = imported("piper", "piper", "piper.config", "onnxruntime")
    spoken = language_of(file)
    if spoken != language:
        raise InputError(f"the voice {file} speaks {spoken!r}, what is written is {language!r}")
    one_thread = runtime.SessionOptions()
    one_thread.intra_op_num_threads = one_thread.inter_op_num_threads = 1
    try:
        settings: Any = config.PiperConfig.from_dict(_described(file))
        rate_hz = int(settings.sample_rate)
        if rate_hz >= MIN_RATE_HZ:
            network = runtime.InferenceSession(str(file), one_thread, providers=["CPUExecutionProvider"])
            voice: Any = piper.PiperVoice(config=settings, session=network)
            return PhraseVoice(lambda text, rate: _said(voice, config, text, rate), rate_hz, language)
    except Exception as error:  # noqa: BLE001  (the runtime's and the reader's kinds share no base)
        raise CheckpointError(f"{file} is no Piper voice: {str(error).splitlines()[0]}") from None
    raise InputError(f"the voice {file} speaks at {rate_hz} Hz; allowed: {MIN_RATE_HZ} and more")


def language_of(file: Path) -> str:
    """What the voice in `file` speaks; CheckpointError that names what is missing or damaged."""
    beside = Path(f"{file}.json")
    for needed in (file, beside):
        if not needed.is_file():
            raise CheckpointError(f"a Piper voice is two files, NAME.onnx and NAME.onnx.json: {needed} is missing")
    try:
        return str(_described(file)["espeak"]["voice"]).partition("-")[0]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is no Piper voice: {beside} is something else ({error!r})") from None


def _described(file: Path) -> Any:
    return json.loads(Path(f"{file}.json").read_text(encoding="utf-8"))


def _said(voice: Any, config: Any, text: str, rate: float) -> Pcm:
    scale = voice.config.length_scale / rate
    chunks = [one.audio_float_array for one in voice.synthesize(text, config.SynthesisConfig(length_scale=scale))]
    return np.concatenate([np.zeros(0, np.float32), *chunks]).astype(np.float32)
