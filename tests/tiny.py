"""A whole pipeline in small, which babbles, but always the same, and fast: for tests, and for benchmarks of what stands
around a model."""

from __future__ import annotations

from pathlib import Path

import torch

from streamst.codecs.neural import NeuralCodec, NeuralCodecConfig
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.models.listen.conformer import ConformerConfig
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.models.seam import Models
from streamst.models.speak.network import TtsConfig, TtsNetwork
from streamst.models.speak.voice import GermanVoice
from streamst.models.translator import SpeechTranslator, TranslatorConfig
from streamst.models.write.network import Writer, WriterConfig
from streamst.pipeline import Pipeline
from streamst.text import train_tokenizer

ENGLISH = ("the cat is on the mat and a dog is in my box", "we go to it as you do if so be he or she", "no way up") * 3
GERMAN = ("ja wir sind da und du bist am See, ich bin so froh", "es war ein Tag im Mai. Wo ist er nun?", "na gut") * 3


def make_translator(folder: Path) -> SpeechTranslator:
    """Our recogniser and writer with seeded random weights; the tokenizers go to `folder`."""
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


def make_pipeline(translator: SpeechTranslator) -> Pipeline:
    """Every real part, in small."""
    torch.manual_seed(6)
    codec = NeuralCodec(
        NeuralCodecConfig(latent_dim=16, encoder_dim=16, encoder_blocks=1, decoder_dim=24, decoder_blocks=2)
    ).eval()
    speaker = TtsConfig(
        text_dim=24, word_blocks=1, phrase_blocks=1, frame_dim=24, frame_blocks=2, outputs=16, longest_letter_frames=4
    )
    voice = TtsNetwork(speaker)
    models = Models(translator.recogniser, translator.pen, GermanVoice(voice.eval(), codec.decoder))
    return Pipeline("tiny", models, NeuralSpeechCodec(codec))
