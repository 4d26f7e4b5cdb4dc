"""VITS and MMS voices of Hugging Face's `transformers` (Kim et al. 2021, Pratap et al. 2023); extra `hf`.

Weights come from the user's cache or a folder; nothing is fetched where the network is away.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np
import torch

from streamst.audio import Pcm
from streamst.backends.parts import imported
from streamst.backends.phrases import PhraseVoice
from streamst.errors import InputError, UnavailableError


def vits_voice(name: str, language: str = "de", device: torch.device | str = "cpu") -> PhraseVoice:
    """The VITS model `name` (such as "facebook/mms-tts-deu", or a folder). UnavailableError without `transformers` or
    the weights."""
    transformers = library()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        model = transformers.VitsModel.from_pretrained(name).to(device).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise UnavailableError(f"the voice {name!r} could not be loaded: {str(error).splitlines()[0]}") from error

    @torch.inference_mode()
    def synthesise(text: str, rate: float) -> Pcm:
        inputs = tokenizer(text, return_tensors="pt").to(device)
        if not inputs["input_ids"].shape[1]:
            return np.zeros(0, np.float32)
        model.speaking_rate = rate
        return model(**inputs).waveform[0].float().cpu().numpy()

    rate_hz = int(model.config.sampling_rate)
    if rate_hz < 16_000:
        raise InputError(f"the voice {name!r} speaks at {rate_hz} Hz; allowed: 16000 and more")
    return PhraseVoice(synthesise, rate_hz, language)


def library() -> Any:
    """`transformers`. All its models import torchaudio where that is installed, though VITS needs none of it: one that
    does not load, such as a wheel for CUDA beside a torch for the CPU, is taken for one that is not installed."""
    try:
        import_module("torchaudio")
    except ImportError:
        pass
    except OSError:
        sys.modules["torchaudio"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    (transformers,) = imported("hf", "transformers")
    return transformers
