"""One thread a test process: two on two busy cores wait for each other. And a whole pipeline in small."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from tiny import make_pipeline, make_translator

from streamst import checkpoint
from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.config import to_dict
from streamst.model_file import ModelFile
from streamst.models.speak.network import TtsNetwork
from streamst.models.speak.voice import GermanVoice
from streamst.models.translator import SpeechTranslator
from streamst.pipeline import Pipeline

torch.set_num_threads(1)
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # a busy one is no fault of the code

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"


@pytest.fixture(scope="session")
def tiny_translator(tmp_path_factory: pytest.TempPathFactory) -> SpeechTranslator:
    """Our recogniser and writer with seeded random weights: they babble, but always the same, and fast."""
    return make_translator(tmp_path_factory.mktemp("tokenizers"))


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_translator: SpeechTranslator) -> Pipeline:
    """Every real part, in small."""
    return make_pipeline(tiny_translator)


@pytest.fixture(scope="session")
def tiny_codec(tiny_pipeline: Pipeline) -> NeuralSpeechCodec:
    """Its codec."""
    assert tiny_pipeline.codec is not None
    return tiny_pipeline.codec


@pytest.fixture(scope="session")
def speech() -> Pcm:
    """Three seconds of real English, as 16-bit samples can say it."""
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 4]))


@pytest.fixture(scope="session")
def tiny_model(
    tiny_translator: SpeechTranslator, tiny_pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny pipeline as a model directory, for other processes."""
    root = tmp_path_factory.mktemp("tiny-model")
    translator, voice, codec = tiny_translator, tiny_pipeline.voice, tiny_pipeline.codec
    assert isinstance(voice, GermanVoice)
    assert codec is not None
    networks = torch.nn.ModuleDict({"listener": translator.listener, "writer": translator.writer})
    checkpoint.save(root / "translator", "translator", to_dict(translator.config), networks)
    for name, tokenizer in (("source", translator.source_tokenizer), ("target", translator.target_tokenizer)):
        shutil.copy(tokenizer.model, root / "translator" / f"{name}.model")
    codec.module.save(root / "codec")
    checkpoint.save(root / "voice-de", TtsNetwork.KIND, to_dict(voice.network.config), voice.network)
    parts = {"own": "translator"}, {"own": "translator"}, {"de": "voice-de"}, "codec"
    ModelFile("tiny", "en", ("de",), *parts).write(root)
    return root
