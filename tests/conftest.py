"""One thread a test process: two on two busy cores wait for each other. And a whole pipeline in small."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from streamst import checkpoint
from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.codecs.neural import NeuralCodec, NeuralCodecConfig
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.config import to_dict
from streamst.model_file import ModelFile
from streamst.models.listen.conformer import ConformerConfig
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.models.seam import Models
from streamst.models.speak.network import TtsConfig, TtsNetwork
from streamst.models.speak.voice import GermanVoice
from streamst.models.translator import SpeechTranslator, TranslatorConfig
from streamst.models.write.network import Writer, WriterConfig
from streamst.pipeline import Pipeline
from streamst.text import train_tokenizer

torch.set_num_threads(1)
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # a busy one is no fault of the code

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"

ENGLISH = ("the cat is on the mat and a dog is in my box", "we go to it as you do if so be he or she", "no way up") * 3
GERMAN = ("ja wir sind da und du bist am See, ich bin so froh", "es war ein Tag im Mai. Wo ist er nun?", "na gut") * 3


@pytest.fixture(scope="session")
def tiny_translator(tmp_path_factory: pytest.TempPathFactory) -> SpeechTranslator:
    """Our recogniser and writer with seeded random weights: they babble, but always the same, and fast."""
    folder = tmp_path_factory.mktemp("tokenizers")
    source = train_tokenizer(ENGLISH, 60, folder / "source.model")
    target = train_tokenizer(GERMAN, 80, folder / "target.model")
    torch.manual_seed(5)
    listener = ListenerConfig(
        encoder=ConformerConfig(dim=16, layers=1, heads=2, kernel=3, middle=1), source_tokens=source.size
    )
    writer = WriterConfig(
        source.size, target.size, dim=16, heads=2, memory_layers=1, decoder_layers=1, max_tokens=10,
        alignment_layer=0,
    )  # fmt: skip
    config = TranslatorConfig(listener, writer, longest_segment_tokens=12)
    networks = Listener(listener), Writer(writer)
    with torch.no_grad():
        networks[0].source.weight.mul_(6)  # else every frame is heard as the same token,
        for weight in networks[1].layers.parameters():
            weight.mul_(5 if weight.ndim > 1 else 1)  # and written as the same word
    return SpeechTranslator(config, *networks, source, target)


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_translator: SpeechTranslator) -> Pipeline:
    """Every real part, in small."""
    torch.manual_seed(6)
    codec = NeuralCodec(
        NeuralCodecConfig(latent_dim=16, encoder_dim=16, encoder_blocks=1, decoder_dim=24, decoder_blocks=2)
    ).eval()
    speaker = TtsConfig(
        text_dim=24, word_blocks=1, phrase_blocks=1, frame_dim=24, frame_blocks=2, outputs=16, longest_letter_frames=4
    )
    voice = TtsNetwork(speaker)
    models = Models(tiny_translator.recogniser, tiny_translator.pen, GermanVoice(voice.eval(), codec.decoder))
    return Pipeline("tiny", models, NeuralSpeechCodec(codec))


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
