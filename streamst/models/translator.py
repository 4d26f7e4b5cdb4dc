"""The shipped recogniser and writer, which share a folder, a set of weights and the heads between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from streamst import checkpoint
from streamst.config import from_dict
from streamst.errors import CheckpointError
from streamst.models.heads import Heads, HeadsConfig
from streamst.models.listen.evidence import EvidenceConfig, SpeechEvidence
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.models.listen.recogniser import RecogniserConfig, WordRecogniser
from streamst.models.listen.search import SearchConfig, WordSearch
from streamst.models.listen.sentences import SentenceConfig
from streamst.models.segment import SegmentConfig
from streamst.models.write.network import OUTGROWN, Writer, WriterConfig, writer_config
from streamst.models.write.writer import WordWriter
from streamst.text import Tokenizer

WORDS = "words.npz"
SPEECH = "speech.npz"


@dataclass(frozen=True)
class TranslatorConfig:
    """Both networks, and when a segment of speech ends."""

    listener: ListenerConfig = field(default_factory=ListenerConfig)
    writer: WriterConfig = field(default_factory=WriterConfig)
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    sentences: SentenceConfig = field(default_factory=SentenceConfig)
    words_sha256: str = ""  # of `words.npz`, lexicon and language model; "" where the source CTC spells the words
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    speech_sha256: str = ""  # of `speech.npz`, what tells noise from speech; "" where every sound is taken for speech
    source: str = "en"
    targets: tuple[str, ...] = ("de",)
    term_budget: float = 2.5  # what hearing a glossary's term may cost, a token of it [nats]
    term_gain: float = 3.0  # what a glossary's words gain in the word search [nats]
    pause_ms: int = 800  # silence after words that ends a segment
    word_pause_ms: int = 240  # silence after which the last word is complete
    longest_segment_tokens: int = 80  # source tokens
    tail_ms: int = 480  # silence that flushes the encoder at the end of a stream

    @property
    def recogniser(self) -> RecogniserConfig:
        """What of it is the recogniser's."""
        segments = SegmentConfig(pause_ms=self.pause_ms, longest=self.longest_segment_tokens)
        return RecogniserConfig(
            self.source, segments, self.sentences, self.term_budget, self.term_gain, self.word_pause_ms, self.tail_ms
        )


class SpeechTranslator:
    """Networks, tokenizers and word search of one language pair: `recogniser` and `pen` are made of them."""

    def __init__(
        self,
        config: TranslatorConfig,
        listener: Listener,
        writer: Writer,
        source: Tokenizer,
        target: Tokenizer,
        heads: Heads | None = None,
        search: WordSearch | None = None,
        evidence: SpeechEvidence | None = None,
    ) -> None:
        if source.size != config.listener.source_tokens or source.size != config.writer.source_tokens:
            raise CheckpointError(
                f"the source tokenizer has {source.size} tokens, the networks {config.listener.source_tokens}"
            )
        if target.size != config.writer.target_tokens:
            raise CheckpointError(
                f"the target tokenizer has {target.size} tokens, the writer {config.writer.target_tokens}"
            )
        self.config, self.search, self.evidence = config, search, evidence
        self.listener, self.writer = listener.eval(), writer.eval()
        self.heads = (Heads(config.heads) if heads is None else heads).eval()
        self.source_tokenizer, self.target_tokenizer = source, target
        self.recogniser = WordRecogniser(config.recogniser, self.listener, source, self.heads, search, target, evidence)
        self.pen = WordWriter(self.writer, source, target, (config.source, config.targets), self.heads.taed)

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu") -> SpeechTranslator:
        """The translator in a directory with `config.json`, its weights and the tokenizers."""
        described = checkpoint.read_config(directory, "translator")
        writes = writer_config(described.pop("writer", {}))
        config = replace(from_dict(TranslatorConfig, described), writer=writes)
        listener, writer, heads = Listener(config.listener), Writer(config.writer), Heads(config.heads)
        networks = torch.nn.ModuleDict({"listener": listener, "writer": writer, "heads": heads})
        checkpoint.load_weights(directory, networks, OUTGROWN)
        source, target = (Tokenizer(directory / name) for name in ("source.model", "target.model"))
        search = None
        if config.words_sha256:
            checkpoint.check_sha256(directory / WORDS, config.words_sha256)
            search = WordSearch.load(directory / WORDS, config.search)
        evidence = None
        if config.speech_sha256:
            checkpoint.check_sha256(directory / SPEECH, config.speech_sha256)
            evidence = SpeechEvidence.load(directory / SPEECH, config.listener.encoder.dim, config.evidence)
        return cls(config, listener.to(device), writer.to(device), source, target, heads.to(device), search, evidence)

    def networks(self) -> torch.nn.ModuleDict:
        """All of it that has weights, as `load` expects them."""
        return torch.nn.ModuleDict({"listener": self.listener, "writer": self.writer, "heads": self.heads})

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.listener.source.weight.device
