"""Our recogniser: chunks through the conformer once, words out of a search in phonemes, or of a source CTC.

Implements `Recogniser` (models/seam.py), and `Reader` where it has heads that write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamst.errors import CheckpointError, InputError
from streamst.models.glossary import Glossary
from streamst.models.heads import Heads, HeadsState, drafted
from streamst.models.seam import NO_GLOSSARY, Hear, Read
from streamst.models.segment import SegmentConfig
from streamst.models.words import HeardWord, Listening
from streamst.nn.state import stacked
from streamst.policies.base import Hypothesis, Need
from streamst.text import Tokenizer

from .evidence import NO_EVIDENCE, Evidence, SpeechEvidence
from .lexicon import BLANK
from .listener import Listener, ListenerState
from .search import SearchState, Word, WordSearch
from .sentences import SentenceConfig, SentenceEnds
from .spotting import NOTHING_SPOTTED, SpotState, Spotter, TermTree
from .tokens import HeardToken, collapse, put, spelled
from .transducer import Emission

MIN_CHUNK_MS, MAX_CHUNK_MS = 160, 2560


@dataclass(frozen=True)
class RecogniserConfig:
    """What is said of a stream beyond its networks."""

    language: str = "en"
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    sentences: SentenceConfig = field(default_factory=SentenceConfig)
    term_budget: float = 2.5  # what hearing a glossary's term may cost, a token of it [nats]
    term_gain: float = 3.0  # what a glossary's words gain in the word search [nats]
    word_pause_ms: int = 240  # silence after which the last word is complete
    tail_ms: int = 480  # silence that flushes the encoder at the end of a stream


@dataclass(frozen=True)
class Hints:
    """What a session's glossary changes: terms beside a source CTC, and the word search that favours them."""

    spotter: Spotter
    search: WordSearch | None


@dataclass(frozen=True)
class Ear:
    """What one speaker's stream has come to."""

    listener: ListenerState
    heads: HeadsState
    frames: int = 0  # encoded since the stream's start
    start: int = 0  # the first of them that was not forgotten
    words: tuple[HeardWord, ...] = ()  # heard since
    sentence: int = 0  # how many of them are a sentence that has ended, 0 where none has
    tokens: tuple[HeardToken, ...] = ()  # of the words, where a CTC or the captions head spells them
    last_best: int = BLANK  # the last frame's best token, for collapsing
    last_sound: int = -1  # the last frame in which a phoneme was heard, where words are searched for
    search: SearchState | None = None  # hypotheses of the word search
    evidence: Evidence = NO_EVIDENCE  # that what sounds is speech
    vouched: int = 0  # how many of the search's words there was evidence for
    spots: SpotState = NOTHING_SPOTTED  # terms that may be being said
    hints: Hints | None = field(default=None, metadata={"packed": False})  # made anew from the glossary


class WordRecogniser:
    """Networks and word search of one language; stateless."""

    def __init__(
        self, config: RecogniserConfig, listener: Listener, source: Tokenizer, heads: Heads,
        search: WordSearch | None = None, target: Tokenizer | None = None, evidence: SpeechEvidence | None = None,
    ) -> None:  # fmt: skip
        """source, target: of the tokens of the listener and of heads that write. evidence: what tells noise from speech
        where words are searched for; without it every sound is speech. CheckpointError for a search over another
        layer's phonemes."""
        self.config, self.listener, self.heads, self.search = config, listener.eval(), heads, search
        self.language, self.segments = config.language, config.segments
        self.sample_rate_hz = listener.config.features.sample_rate_hz
        self.frame_ms = 1000 * listener.frame_samples / self.sample_rate_hz
        self.provides: frozenset[Need] = heads.provides & {"target-ctc", "transducer"}
        self.source, self.target, self.evidence = source, target, evidence
        self.per_frame = listener.config.phonemes_per_frame
        encoder = listener.config.encoder
        if search is not None and encoder.middle != encoder.layers:
            raise CheckpointError("a word search needs phonemes of the last layer")
        self._sentences = None
        if search is not None:
            self._sentences = SentenceEnds(search.model, config.sentences, self.frame_ms / self.per_frame)
        self._hints = lru_cache(maxsize=8)(self._compile)  # sessions of one customer bring the same glossary
        self._spelled = lru_cache(maxsize=65_536)(self._spell)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.listener.source.weight.device

    def chunk_samples(self, chunk_ms: int) -> int:
        """The samples of a chunk; InputError names the allowed chunks."""
        frame_ms = round(self.frame_ms)
        whole = isinstance(chunk_ms, int) and not isinstance(chunk_ms, bool)
        if not whole or chunk_ms % frame_ms or not MIN_CHUNK_MS <= chunk_ms <= MAX_CHUNK_MS:
            raise InputError(
                f"a chunk of {chunk_ms!r} ms is not possible; "
                f"allowed: multiples of {frame_ms} ms from {MIN_CHUNK_MS} to {MAX_CHUNK_MS} ms"
            )
        return chunk_ms // frame_ms * self.listener.frame_samples

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> Ear:
        """Nothing heard."""
        return Ear(
            self.listener.init_state(1, self.device),
            self.heads.init_state(self.listener.config.encoder.dim, self.device),
            search=None if self.search is None else self.search.init_state(),
            hints=self._hints(glossary) if glossary else None,
        )

    def _compile(self, glossary: Glossary) -> Hints:
        pause = max(1, round(self.config.word_pause_ms / self.frame_ms))
        words = {word for term, _ in glossary.terms for word in term.split()}
        search = None if self.search is None else self.search.favouring(words, self.config.term_gain)
        terms = TermTree(glossary, self.source)
        return Hints(Spotter(terms, self.source.starts_word, pause, self.config.term_budget), search)

    @torch.inference_mode()
    def hear_all(self, work: Sequence[Hear]) -> list[Ear]:
        """The states after a chunk of each speaker: chunks of one size go through the encoder together."""
        heard: list[Ear] = [one.state for one in work]
        waiting = [self._pieces(one) for one in work]
        for turn in range(max(map(len, waiting))):
            sizes: dict[int, list[int]] = {}
            for row, own in enumerate(waiting):
                if turn < len(own):
                    sizes.setdefault(len(own[turn]), []).append(row)
            for rows in sizes.values():
                chunks = torch.stack([waiting[row][turn] for row in rows]).to(self.device)
                states, listener = self.listener.step(chunks, stacked([heard[row].listener for row in rows]))
                for place, row in enumerate(rows):
                    own = listener if len(rows) == 1 else listener.select([place])
                    heard[row] = self._hear(replace(heard[row], listener=own), states[place])
        return heard

    def _pieces(self, work: Hear) -> tuple[Tensor, ...]:
        """What is encoded one after the other: the chunk, or the last one with silence to a whole frame."""
        samples = torch.from_numpy(np.ascontiguousarray(work.pcm, dtype=np.float32))
        if not work.final:
            return (samples,) if len(samples) else ()
        tail = int(self.config.tail_ms * self.sample_rate_hz / 1000)
        samples = F.pad(samples, (0, tail + -(len(samples) + tail) % self.listener.frame_samples))
        return samples.split(work.chunk_samples or len(samples))

    def _hear(self, ear: Ear, states: Tensor) -> Ear:
        """Take the encoder's frames (T, D) of one chunk: words, and what the heads make of them."""
        emitted, heads = self.heads.heard(states, ear.heads, ear.frames)
        ear = replace(ear, heads=heads)
        ear = self._spell_out(ear, states, emitted) if self.search is None else self._recognise(ear, states)
        return ear if ear.words else replace(ear, heads=self.heads.quiet(ear.heads))

    def _recognise(self, ear: Ear, states: Tensor) -> Ear:
        """Search for words in the phonemes of the frames (T, D)."""
        assert self.search is not None
        assert ear.search is not None
        log_probs = self.listener.phoneme_log_probs(states[None])[0].float().cpu().numpy()
        best = log_probs.argmax(1).reshape(len(states), -1)
        sounding = ((best != BLANK) & (best != self.search.silence)).any(1)
        speech, noise, evidence = self._judge(states, sounding, ear.evidence)
        heard = np.flatnonzero(sounding)
        last = ear.frames + int(heard[-1]) if len(heard) and not noise else ear.last_sound
        favouring = None if ear.hints is None else ear.hints.search
        search = (favouring or self.search).step(log_probs, ear.search)
        ear = replace(ear, frames=ear.frames + len(states), last_sound=last, evidence=evidence)
        paused = self._silence_ms(ear) >= self.config.word_pause_ms
        if paused:
            search = self.search.decide(search)
        vouched = len(self.search.words(search)) if speech else ear.vouched
        if (noise or paused) and len(self.search.words(search)) > vouched:
            search = self.search.init_state(search.frame, search.certain[:vouched])
        if paused and (not speech or self._silence_ms(ear) >= self.segments.pause_ms):
            ear = replace(ear, evidence=NO_EVIDENCE)
        words = tuple(self._word(word) for word in self.search.words(search)[:vouched])
        return self._ended(replace(ear, search=search, words=words, vouched=vouched))

    def _judge(self, states: Tensor, sounding: NDArray[np.bool_], before: Evidence) -> tuple[bool, bool, Evidence]:
        """Whether what sounds in frames (T, D) and before is speech, whether it is noise, and the evidence."""
        if self.evidence is None:
            return True, False, before
        evidence = self.evidence.hear(states.float().cpu().numpy(), sounding, before)
        return self.evidence.speech(evidence), self.evidence.noise(evidence), evidence

    def _ended(self, ear: Ear) -> Ear:
        """How many of the words are a sentence that has ended."""
        assert self._sentences is not None
        assert ear.search is not None
        silence_ms = self._silence_ms(ear)
        paused = silence_ms >= self.config.word_pause_ms
        return replace(
            ear, sentence=self._sentences.first(ear.search.certain[: ear.vouched], silence_ms if paused else 0.0)
        )

    def _word(self, word: Word) -> HeardWord:
        text, pieces = self._spelled(word.number)
        return HeardWord(text, word.first // self.per_frame, word.last // self.per_frame, pieces)

    def _spell(self, number: int) -> tuple[str, int]:
        assert self.search is not None
        ids = self.source.encode(self.search.lexicon.words[number])
        return self.source.decode(ids), len(ids)

    def _spell_out(self, ear: Ear, states: Tensor, emitted: Sequence[Emission]) -> Ear:
        """The words that the captions head (`emitted`) or the CTC spells in the frames (T, D)."""
        tokens, last = ear.tokens, ear.last_best
        if self.heads.captions is None:
            best = self.listener.source(states).argmax(-1).tolist()
            tokens, last = collapse(tokens, best, ear.frames, last)
        else:
            tokens = (*tokens, *(HeardToken(e.label, e.frame, e.frame) for e in emitted))
        ear = replace(ear, tokens=tokens, last_best=last, frames=ear.frames + len(states))
        if ear.hints is not None:
            log_probs = self.listener.source_log_probs(states).float().cpu().numpy()
            found, spots = ear.hints.spotter.step(log_probs, ear.spots, ear.frames - len(states))
            sources = ear.hints.spotter.terms.sources
            tokens = put(ear.tokens, [one for one in found if one.frames[0] >= ear.start], sources)
            ear = replace(ear, tokens=tokens, spots=spots)
        return replace(ear, words=tuple(word for word, _ in spelled(ear.tokens, self.source)))

    def listening(self, state: Ear) -> Listening:
        """What was heard."""
        silence_ms = self._silence_ms(state)
        return Listening(
            state.words, self._certain(state, silence_ms), state.frames, self.frame_ms, silence_ms, state.sentence,
            len(state.heads.draft),
        )  # fmt: skip

    def _certain(self, ear: Ear, silence_ms: float) -> int:
        """How many words will not change: after a pause all; else those that all good hypotheses of the search share,
        or all but the last, as far as no term may still replace them."""
        if silence_ms >= self.config.word_pause_ms:
            return len(ear.words)
        if ear.search is not None:
            return min(len(ear.search.certain), len(ear.words))
        since, sure = ear.spots.since, len(ear.words) - 1
        if since is not None:
            sure = min(sure, sum(word.last_frame < since for word in ear.words))
        return max(sure, 0)

    def _silence_ms(self, ear: Ear) -> float:
        if not ear.tokens and self.search is None:
            return 0.0
        last = ear.last_sound if self.search is not None else ear.tokens[-1].last
        return (ear.frames - 1 - last) * self.frame_ms

    def forget(self, state: Ear, words: int, frame: int, labels: int | None = None) -> Ear:
        """Forget the first `words`, and what the heads keep of before `frame`; a sound that is being heard goes on."""
        heads = state.heads
        if frame >= state.frames:
            search = None if self.search is None or state.search is None else self.search.next_segment(state.search)
            return replace(
                state, heads=self.heads.next_segment(heads), search=search, words=(), tokens=(), sentence=0,
                vouched=0, spots=SpotState(last=state.last_best), start=frame,
            )  # fmt: skip
        said = sum(at < frame for at in heads.draft_frames) if labels is None else labels
        kept = replace(state, heads=self.heads.forget(heads, state.frames - frame, said), start=frame)
        if state.search is None:
            places = [at for _, at in spelled(state.tokens, self.source)]
            tokens = state.tokens[places[words] if words < len(places) else len(state.tokens) :]
            return replace(kept, tokens=tokens, words=state.words[words:])
        search = replace(state.search, certain=state.search.certain[words:])
        kept = replace(kept, search=search, words=state.words[words:], vouched=max(0, state.vouched - words))
        return self._ended(kept) if state.sentence else kept

    def read_all(self, work: Sequence[Read]) -> list[Hypothesis]:
        """The labels that the heads read off the frames by themselves."""
        return [self._read(one) for one in work]

    @torch.inference_mode()
    def _read(self, work: Read) -> Hypothesis:
        ear: Ear = work.state
        log_probs: tuple[float, ...] = ()
        if work.decoding.mode == "transducer":
            emitted = self.heads.lattice(ear.heads, ear.frames, work.decoding.blank_penalty)[len(work.prefix) :]
            emitted = [one for one in emitted if one.frame < work.until]
            tokens, frames = tuple(e.label for e in emitted), tuple(e.frame for e in emitted)
            log_probs = tuple(e.log_prob for e in emitted)
        else:
            tokens, frames = drafted(ear.heads, work.prefix)
            count = sum(frame < work.until for frame in frames)
            tokens, frames = tokens[:count], frames[:count]
        assert self.target is not None
        ends = self.target.word_ends(tokens, work.final)
        alignment = tuple(frame - work.start for frame in frames)
        return Hypothesis(tokens, log_probs, alignment, word_ends=ends, finished=work.final)
