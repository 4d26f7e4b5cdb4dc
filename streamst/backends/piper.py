"""Voices of Piper (VITS networks in ONNX, phonemes by eSpeak NG): one file a voice; extra `piper`."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.models.seam import Pcm

from .phrases import PhraseVoice

MIN_RATE_HZ = 16_000


def piper_voice(file: Path, language: str) -> PhraseVoice:
    """The voice in `file` (NAME.onnx, with NAME.onnx.json beside it), on one thread.

    UnavailableError where the extra `piper` is not installed, CheckpointError that names a missing or damaged file,
    InputError for a voice that speaks another language than `language`, or below 16 kHz.
    """
    try:
        piper, config, runtime = import_module("piper"), import_module("piper.config"), import_module("onnxruntime")
    except ImportError as error:
        raise UnavailableError(f"{error.name} is not installed; get it with: pip install 'streamst[piper]'") from None
    beside = Path(f"{file}.json")
    for needed in (file, beside):
        if not needed.is_file():
            raise CheckpointError(f"a Piper voice is two files, NAME.onnx and NAME.onnx.json: {needed} is missing")
    one_thread = runtime.SessionOptions()
    one_thread.intra_op_num_threads = one_thread.inter_op_num_threads = 1
    try:
        settings: Any = config.PiperConfig.from_dict(json.loads(beside.read_text(encoding="utf-8")))
        spoken, rate_hz = str(settings.espeak_voice).partition("-")[0], int(settings.sample_rate)
        if spoken == language and rate_hz >= MIN_RATE_HZ:
            network = runtime.InferenceSession(str(file), one_thread, providers=["CPUExecutionProvider"])
            voice: Any = piper.PiperVoice(config=settings, session=network)
            return PhraseVoice(lambda text, rate: _said(voice, config, text, rate), rate_hz, language)
    except Exception as error:  # the runtime's and the reader's kinds share no base
        raise CheckpointError(f"{file} is no Piper voice: {str(error).splitlines()[0]}") from None
    if spoken != language:
        raise InputError(f"the voice {file} speaks {spoken!r}, what is written is {language!r}")
    raise InputError(f"the voice {file} speaks at {rate_hz} Hz; allowed: {MIN_RATE_HZ} and more")


def _said(voice: Any, config: Any, text: str, rate: float) -> Pcm:
    scale = voice.config.length_scale / rate
    chunks = [one.audio_float_array for one in voice.synthesize(text, config.SynthesisConfig(length_scale=scale))]
    return np.concatenate([np.zeros(0, np.float32), *chunks]).astype(np.float32)
