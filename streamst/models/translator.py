"""The shipped translator behind the seam: a listener and a writer, and per speaker what was heard so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamst import checkpoint
from streamst.config import from_dict
from streamst.errors import CheckpointError, InputError
from streamst.models.glossary import Glossary, Terms, make_glossary
from streamst.models.heads import Heads, HeadsConfig, HeadsState, drafted
from streamst.models.listen.listener import BLANK, Listener, ListenerConfig, ListenerState
from streamst.models.listen.search import SearchConfig, SearchState, Word, WordSearch, pack, unpack
from streamst.models.listen.sentences import SentenceConfig, SentenceEnds
from streamst.models.listen.spotting import NOTHING_SPOTTED, SpotState, Spotter, pack_spots, unpack_spots
from streamst.models.listen.transducer import Emission
from streamst.models.seam import ATTENTION, NO_GLOSSARY, Encode, Hypothesise, Pcm, SourceWord, Transcript
from streamst.models.write.network import Writer, WriterConfig
from streamst.models.write.words import ALWAYS, HeardToken, Source, TokenWriter, spread, words_of
from streamst.nn.state import stacked
from streamst.policies.base import Decoding, Heard, Hypothesis, Need
from streamst.text import Tokenizer

WORDS = "words.npz"
MIN_CHUNK_MS, MAX_CHUNK_MS = 160, 2560
# Fields of Hearing that are values.
_PLAIN = ("chunk_samples", "target", "frames", "segment_frame", "last_best", "last_sound", "ended")
_HEADS = ("context", "draft", "draft_frames")  # fields of HeadsState that are lists of them


@dataclass(frozen=True)
class TranslatorConfig:
    """Both networks, and when a segment of speech ends."""

    listener: ListenerConfig = field(default_factory=ListenerConfig)
    writer: WriterConfig = field(default_factory=WriterConfig)
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    sentences: SentenceConfig = field(default_factory=SentenceConfig)
    words_sha256: str = ""  # of `words.npz`, lexicon and language model; "" where the source CTC spells the words
    source: str = "en"
    targets: tuple[str, ...] = ("de",)
    term_budget: float = 2.5  # what hearing a glossary's term may cost, a token of it [nats]
    term_gain: float = 3.0  # what a glossary's words gain in the word search [nats]
    pause_ms: int = 800  # silence after words that ends a segment
    word_pause_ms: int = 240  # silence after which the last word is complete
    longest_segment_tokens: int = 80  # source tokens
    tail_ms: int = 480  # silence that flushes the encoder at the end of a stream


@dataclass(frozen=True)
class Hearing:
    """What one speaker's stream has come to."""

    listener: ListenerState
    pending: Tensor  # (samples,) not yet a chunk
    pooled: Tensor  # (tokens, D) mean encoder state of each token of the segment
    heads: HeadsState
    chunk_samples: int
    target: str
    tokens: tuple[HeardToken, ...] = ()  # of the segment
    frames: int = 0  # encoded since the stream's start
    segment_frame: int = 0  # where the segment begins
    last_best: int = BLANK  # the last frame's best token, for collapsing
    last_sound: int = -1  # the last frame in which a phoneme was heard, where words are searched for
    ended: int = 0  # words of the segment's sentence where it has ended, and others may have followed; 0 where not
    words: SearchState | None = None  # hypotheses of the word search
    spotter: Spotter | None = None  # of the session's glossary
    search: WordSearch | None = None  # the word search that favours the words of the glossary
    spots: SpotState = NOTHING_SPOTTED  # terms that may be being said


class SpeechTranslator:
    """Implements `Translator` (models/seam.py) with the project's own networks."""

    def __init__(
        self,
        config: TranslatorConfig,
        listener: Listener,
        writer: Writer,
        source: Tokenizer,
        target: Tokenizer,
        heads: Heads | None = None,
        search: WordSearch | None = None,
    ) -> None:
        if source.size != config.listener.source_tokens or source.size != config.writer.source_tokens:
            raise CheckpointError(
                f"the source tokenizer has {source.size} tokens, the networks {config.listener.source_tokens}"
            )
        if target.size != config.writer.target_tokens:
            raise CheckpointError(
                f"the target tokenizer has {target.size} tokens, the writer {config.writer.target_tokens}"
            )
        self.config, self.source, self.targets = config, config.source, config.targets
        self.listener, self.writer = listener.eval(), writer.eval()
        self.heads = (Heads(config.heads) if heads is None else heads).eval()
        self.provides: frozenset[Need] = self.heads.provides | ALWAYS
        self.source_tokenizer, self.target_tokenizer = source, target
        self.pen = TokenWriter(self.writer, source, target, config.targets, self.heads.taed, config.source)
        self.sample_rate_hz = config.listener.features.sample_rate_hz
        self.frame_ms = 1000 * listener.frame_samples / self.sample_rate_hz
        self.search = search
        self._sentences = None
        if search is not None:
            frame_ms = self.frame_ms / config.listener.phonemes_per_frame
            self._sentences = SentenceEnds(search.model, config.sentences, frame_ms)
        encoder = config.listener.encoder
        if search is not None and (config.writer.reads_states or encoder.middle != encoder.layers):
            raise CheckpointError("a word search needs phonemes of the last layer and a writer that reads tokens only")
        self._biased = lru_cache(maxsize=8)(self._compile)  # sessions of one customer bring the same glossary

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu") -> SpeechTranslator:
        """The translator in a directory with `config.json`, `listener/`, `writer/` and the tokenizers."""
        config = from_dict(TranslatorConfig, checkpoint.read_config(directory, "translator"))
        listener, writer, heads = Listener(config.listener), Writer(config.writer), Heads(config.heads)
        checkpoint.load_weights(
            directory, torch.nn.ModuleDict({"listener": listener, "writer": writer, "heads": heads})
        )
        source, target = (Tokenizer(directory / name) for name in ("source.model", "target.model"))
        search = None
        if config.words_sha256:
            checkpoint.check_sha256(directory / WORDS, config.words_sha256)
            search = WordSearch.load(directory / WORDS, config.search)
        return cls(config, listener.to(device), writer.to(device), source, target, heads.to(device), search)

    def networks(self) -> torch.nn.ModuleDict:
        """All of it that has weights, as `load` expects them."""
        return torch.nn.ModuleDict({"listener": self.listener, "writer": self.writer, "heads": self.heads})

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.listener.source.weight.device

    def init_state(self, chunk_ms: int, target: str, glossary: Glossary = NO_GLOSSARY) -> Hearing:
        """A fresh state; InputError names the allowed chunks and targets."""
        if target not in self.targets:
            raise InputError(f"target language {target!r} is not available; allowed: {', '.join(self.targets)}")
        samples = self._chunk_samples(chunk_ms)
        empty = torch.zeros(0, self.config.listener.encoder.dim, device=self.device)
        listener, heads = self.listener.init_state(1, self.device), self.heads.init_state(empty.shape[1], self.device)
        words = None if self.search is None else self.search.init_state()
        spotter, search = self._biased(glossary) if glossary else (None, None)
        return Hearing(
            listener, torch.zeros(0), empty, heads, samples, target, words=words, spotter=spotter, search=search
        )

    def rechunk(self, state: Hearing, chunk_ms: int) -> Hearing:
        """The same state that encodes in chunks of `chunk_ms` from now on; InputError names the allowed chunks."""
        return replace(state, chunk_samples=self._chunk_samples(chunk_ms))

    def _chunk_samples(self, chunk_ms: int) -> int:
        frame_ms = round(self.frame_ms)
        whole = isinstance(chunk_ms, int) and not isinstance(chunk_ms, bool)
        if not whole or chunk_ms % frame_ms or not MIN_CHUNK_MS <= chunk_ms <= MAX_CHUNK_MS:
            raise InputError(
                f"a chunk of {chunk_ms!r} ms is not possible; "
                f"allowed: multiples of {frame_ms} ms from {MIN_CHUNK_MS} to {MAX_CHUNK_MS} ms"
            )
        return chunk_ms // frame_ms * self.listener.frame_samples

    def _compile(self, glossary: Glossary) -> tuple[Spotter, WordSearch | None]:
        """What hears the terms of `glossary`: beside a source CTC, and in a word search."""
        pause = max(1, round(self.config.word_pause_ms / self.frame_ms))
        terms = Terms(glossary, self.source_tokenizer, self.target_tokenizer)
        words = {word for term, _ in glossary.terms for word in term.split()}
        search = None if self.search is None else self.search.favouring(words, self.config.term_gain)
        return Spotter(terms, self.source_tokenizer.starts_word, pause, self.config.term_budget), search

    def encode(self, pcm: Pcm, state: Hearing, final: bool = False) -> Hearing:
        """Hear `pcm` (samples,), any number of them; `final` flushes what is buffered with a tail of silence."""
        return self.encode_all([Encode(pcm, state, final)])[0]

    @torch.inference_mode()
    def encode_all(self, work: Sequence[Encode]) -> list[Hearing]:
        """`encode` for several speakers: chunks of one size go through the encoder together."""
        heard = [one.state for one in work]
        waiting = [self._waiting(one) for one in work]
        while True:
            ready: dict[int, list[int]] = {}  # rows by the size of their next chunk
            for row, (one, rest) in enumerate(zip(work, waiting, strict=True)):
                size = min(len(rest), one.state.chunk_samples)
                if size == one.state.chunk_samples or (one.final and size):
                    ready.setdefault(size, []).append(row)
            if not ready:
                return [replace(h, pending=rest.clone()) for h, rest in zip(heard, waiting, strict=True)]
            for size, rows in ready.items():
                chunks = torch.stack([waiting[row][:size] for row in rows]).to(self.device)
                states, listener = self.listener.step(chunks, stacked([heard[row].listener for row in rows]))
                for place, row in enumerate(rows):
                    waiting[row] = waiting[row][size:]
                    own = listener if len(rows) == 1 else listener.select([place])
                    heard[row] = self._hear(replace(heard[row], listener=own), states[place])

    def _waiting(self, work: Encode) -> Tensor:
        """The samples that are to be encoded, with silence to the next whole frame where they are the last."""
        samples = torch.cat([work.state.pending, torch.from_numpy(np.ascontiguousarray(work.pcm, dtype=np.float32))])
        if not work.final:
            return samples
        tail = int(self.config.tail_ms * self.sample_rate_hz / 1000)
        return F.pad(samples, (0, tail + -(len(samples) + tail) % self.listener.frame_samples))

    def _hear(self, state: Hearing, states: Tensor) -> Hearing:
        """Take the encoder's frames (T, D) of one chunk: source tokens, and what the heads make of them."""
        emitted, heads = self.heads.heard(states, state.heads, state.frames)
        state = self._source(replace(state, heads=heads), states, emitted)
        return state if state.tokens else replace(state, heads=self.heads.quiet(state.heads))

    def _source(self, state: Hearing, states: Tensor, emitted: Sequence[Emission]) -> Hearing:
        """The source tokens of the frames (T, D): from the word search, the captions head (`emitted`), or the CTC."""
        if self.search is not None:
            return self._recognise(state, states)
        if self.heads.captions is None:
            return self._spot(self._collapse(state, states), states)
        tokens = (*state.tokens, *(HeardToken(e.label, e.frame, e.frame) for e in emitted))
        pooled = torch.cat([state.pooled, *(states[e.frame - state.frames][None] for e in emitted)])
        return self._spot(replace(state, tokens=tokens, pooled=pooled, frames=state.frames + len(states)), states)

    def _spot(self, state: Hearing, states: Tensor) -> Hearing:
        """Look for the glossary's terms in the frames (T, D) just heard; those found replace what was heard."""
        spotter = state.spotter
        if spotter is None:
            return state
        log_probs = self.listener.source(states).log_softmax(-1).float().cpu().numpy()
        found, spots = spotter.step(log_probs, state.spots, state.frames - len(states))
        state = replace(state, spots=spots)
        for spotted in found:
            first, last = spotted.frames[0], spotted.last
            inside = [i for i, token in enumerate(state.tokens) if first <= token.first <= last]
            wanted = spotter.terms.sources[spotted.term]
            if first < state.segment_frame or tuple(state.tokens[i].token for i in inside) == wanted:
                continue
            at = inside[0] if inside else sum(token.first < first for token in state.tokens)
            end = at + len(inside)
            fresh = tuple(HeardToken(t, frame, frame) for t, frame in zip(wanted, spotted.frames, strict=True))
            near = [inside[len(inside) * i // len(fresh)] for i in range(len(fresh))] if inside else []
            vectors = state.pooled[near] if near else state.pooled.new_zeros(len(fresh), state.pooled.shape[1])
            pooled = torch.cat([state.pooled[:at], vectors, state.pooled[end:]])
            state = replace(state, tokens=(*state.tokens[:at], *fresh, *state.tokens[end:]), pooled=pooled)
        return state

    def _recognise(self, state: Hearing, states: Tensor) -> Hearing:
        """Search for words in the phonemes of the frames (T, D) of one chunk."""
        assert self.search is not None
        words = state.words
        assert words is not None
        log_probs = self.listener.phoneme_log_probs(states[None])[0].float().cpu().numpy()
        per_frame = self.config.listener.phonemes_per_frame
        sounding = np.flatnonzero(~np.isin(log_probs.argmax(1), (BLANK, self.search.silence)))
        if len(sounding):
            state = replace(state, last_sound=state.frames + int(sounding[-1]) // per_frame)
        words = (state.search or self.search).step(log_probs, words)
        state = replace(state, frames=state.frames + len(states))
        if self._silence_ms(state) >= self.config.word_pause_ms:
            words = self.search.decide(words)
        return self._sentence(replace(state, words=words))

    def _sentence(self, state: Hearing) -> Hearing:
        """The tokens of the words found, as far as they are one sentence."""
        assert self.search is not None
        assert state.words is not None
        found, silence_ms, ended = self.search.words(state.words), self._silence_ms(state), 0
        if self._sentences is not None:
            paused = silence_ms >= self.config.word_pause_ms
            ended = self._sentences.first(state.words.certain, silence_ms if paused else 0.0)
        tokens = [token for word in found[: ended or None] for token in self._tokens(word)]
        pooled = state.pooled.new_zeros(len(tokens), state.pooled.shape[1])
        return replace(state, tokens=tuple(tokens), pooled=pooled, ended=ended)

    def _tokens(self, word: Word) -> list[HeardToken]:
        """The source tokens of a word, its frames shared out among them."""
        assert self.search is not None
        ids = self.source_tokenizer.encode(self.search.lexicon.words[word.number])
        per_frame = self.config.listener.phonemes_per_frame
        first, last = word.first // per_frame, word.last // per_frame
        return spread(ids, first, last)

    def _collapse(self, state: Hearing, states: Tensor) -> Hearing:
        """Greedy CTC over the frames (T, D) of one chunk: a token is a run of frames with the same best label."""
        best = self.listener.source(states).argmax(-1).tolist()
        tokens, pooled = list(state.tokens), list(state.pooled)
        last = state.last_best
        for frame, (label, vector) in enumerate(zip(best, states, strict=True), state.frames):
            if label != BLANK and label == last and tokens:
                old = tokens[-1]
                tokens[-1] = replace(old, last=frame)
                pooled[-1] = pooled[-1] + (vector - pooled[-1]) / (frame - old.first + 1)
            elif label not in (BLANK, last):  # a run that the segment before began is that segment's token
                tokens.append(HeardToken(label, frame, frame))
                pooled.append(vector)
            last = label
        stacked = torch.stack(pooled) if pooled else state.pooled
        return replace(state, tokens=tuple(tokens), pooled=stacked, frames=state.frames + len(best), last_best=last)

    def heard(self, state: Hearing, final: bool = False) -> Heard:
        """Counts of the current segment."""
        words = len(self.source_text(state, final).stable)
        return Heard(
            state.frames - state.segment_frame,
            self.frame_ms,
            source_words=words,
            source_tokens=len(state.tokens),
            target_tokens=len(state.heads.draft),
            final=final,
            start_ms=state.segment_frame * self.frame_ms,
        )

    def source_text(self, state: Hearing, final: bool = False) -> Transcript:
        """The transcript of the current segment."""
        words = words_of(state.tokens, self.source_tokenizer)
        spelled = [
            SourceWord(
                self.source_tokenizer.decode([t.token for t in word]),
                word[0].first * self.frame_ms,
                (word[-1].last + 1) * self.frame_ms,
            )
            for word in words
        ]
        shown = tuple(word for word in spelled if word.text)
        if final or self._silence_ms(state) >= self.config.word_pause_ms:
            return Transcript(shown)
        if state.words is not None:
            certain = len(state.words.certain)
            return Transcript(shown[:certain], shown[certain:])
        since = state.spots.since
        sure = len(shown) - 1
        if since is not None:
            sure = min(sure, sum(word.end_ms <= since * self.frame_ms for word in shown))
        return Transcript(shown[: max(sure, 0)], shown[max(sure, 0) :])

    def hypothesise(
        self, state: Hearing, prefix: Sequence[int], final: bool = False, decoding: Decoding = ATTENTION
    ) -> Hypothesis:
        """Greedy continuation of `prefix`; nothing for a segment in which no word was heard.

        A mode whose head is missing is attention decoding, which every policy can use.
        """
        return self.hypothesise_all([Hypothesise(state, tuple(prefix), final, decoding)])[0]

    @torch.inference_mode()
    def hypothesise_all(self, work: Sequence[Hypothesise]) -> list[Hypothesis]:
        """`hypothesise` for several speakers: the writer decodes for all of them together."""
        found = [self._without_writer(one) for one in work]
        rows = [row for row, hypothesis in enumerate(found) if hypothesis is None]
        sources = [_source(work[row]) for row in rows]
        for row, hypothesis in zip(rows, self.pen.write_sources(sources), strict=True):
            found[row] = hypothesis
        return [hypothesis for hypothesis in found if hypothesis is not None]

    def _without_writer(self, work: Hypothesise) -> Hypothesis | None:
        """What needs no attention decoder: silence, and labels that the heads read off the frames."""
        state, prefix, mode = work.state, work.prefix, work.decoding.mode
        if not state.tokens:
            return Hypothesis((), finished=True)
        after = self._next_sentence(state) or state.frames
        if mode == "transducer" and self.heads.transducer is not None:
            emitted = self.heads.lattice(state.heads, state.frames, work.decoding.blank_penalty)[len(prefix) :]
            emitted = [e for e in emitted if e.frame < after]
            log_probs = tuple(e.log_prob for e in emitted)
            return self._read(state, [e.label for e in emitted], [e.frame for e in emitted], log_probs, work.final)
        if mode == "target-ctc" and self.heads.draft is not None:
            tokens, frames = drafted(state.heads, prefix)
            count = sum(frame < after for frame in frames)
            return self._read(state, tokens[:count], frames[:count], (), work.final)
        return None

    def _read(
        self, state: Hearing, tokens: Sequence[int], frames: Sequence[int], log_probs: tuple[float, ...], final: bool
    ) -> Hypothesis:
        """A hypothesis of labels that were read off the frames (of the stream) by themselves."""
        alignment = tuple(frame - state.segment_frame for frame in frames)
        ends = self.target_tokenizer.word_ends(tuple(tokens), final)
        return Hypothesis(tuple(tokens), log_probs, alignment, word_ends=ends, finished=final)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of target tokens."""
        return self.target_tokenizer.decode(tokens)

    def endpoint(self, state: Hearing) -> bool:
        """True when the speaker paused after words or a sentence has ended, or the segment has become as long as it
        may."""
        if state.ended or len(state.tokens) >= self.config.longest_segment_tokens:
            return True
        return bool(state.tokens) and self._silence_ms(state) >= self.config.pause_ms

    def next_segment(self, state: Hearing) -> Hearing:
        """Forget the segment's text and memory; keep what the encoder hears, and words after the sentence's end."""
        words, frame = state.words, self._next_sentence(state)
        if words is not None and frame is not None:
            kept = replace(words, certain=words.certain[state.ended :])
            said = sum(at < frame for at in state.heads.draft_frames)
            heads, spots = self.heads.forget(state.heads, state.frames - frame, said), SpotState(last=state.last_best)
            return self._sentence(replace(state, words=kept, heads=heads, segment_frame=frame, spots=spots))
        heads = self.heads.next_segment(state.heads)
        words = None if self.search is None or state.words is None else self.search.next_segment(state.words)
        return replace(
            state, tokens=(), pooled=state.pooled[:0], heads=heads, words=words, spots=SpotState(last=state.last_best),
            segment_frame=state.frames, ended=0,
        )  # fmt: skip

    def _next_sentence(self, state: Hearing) -> int | None:
        """The frame in which the words after the sentence's end begin; None where none are known."""
        words = state.words
        if words is None or not 0 < state.ended < len(words.certain):
            return None
        return words.certain[state.ended].first // self.config.listener.phonemes_per_frame

    def forget(self, state: Hearing, frames: int, tokens: int) -> Hearing:
        """Forget the segment's first `frames`, and the source tokens that end in them; `tokens`: how many target tokens
        were forgotten at its beginning."""
        segment_frame = state.segment_frame + frames
        gone = sum(token.last < segment_frame for token in state.tokens)
        words = state.words
        if words is not None:
            count = 0
            for word in words.certain:
                if word.last // self.config.listener.phonemes_per_frame >= segment_frame:
                    break
                count += 1
            gone = sum(len(self._tokens(word)) for word in words.certain[:count])
            words = replace(words, certain=words.certain[count:])
        heads = self.heads.forget(state.heads, state.frames - segment_frame, tokens)
        return replace(
            state, tokens=state.tokens[gone:], pooled=state.pooled[gone:], heads=heads, words=words,
            segment_frame=segment_frame,
        )  # fmt: skip

    def pack_state(self, state: Hearing) -> dict[str, Any]:
        """Plain values and tensors on the CPU."""
        tokens = [[t.token, t.first, t.last] for t in state.tokens]
        plain = {name: getattr(state, name) for name in _PLAIN}
        heads = {name: list(getattr(state.heads, name)) for name in _HEADS} | {"draft_last": state.heads.draft_last}
        kept = (state.pending, state.pooled, state.heads.states, *state.listener.tensors())
        words = None if state.words is None else pack(state.words)
        glossary = None if state.spotter is None else [list(pair) for pair in state.spotter.terms.glossary.terms]
        return {
            **plain, "tokens": tokens, "heads": heads, "words": words, "tensors": [t.cpu().clone() for t in kept],
            "glossary": glossary, "spots": pack_spots(state.spots),
        }  # fmt: skip

    def unpack_state(self, packed: dict[str, Any]) -> Hearing:
        """The inverse of `pack_state`; InputError when it does not fit this translator."""
        try:
            chunk_ms = round(1000 * packed["chunk_samples"] / self.sample_rate_hz)
            glossary = make_glossary(packed["glossary"] or ())
            fresh = self.init_state(chunk_ms, packed["target"], glossary)
            spots = unpack_spots(packed["spots"])
            pending, pooled, states, *tensors = packed["tensors"]
            own = fresh.listener.tensors()
            if [t.shape for t in own] != [t.shape for t in tensors] or len(pooled) != len(packed["tokens"]):
                raise InputError("a state of another translator or another version of it")
            remaining = iter(tensors)
            listener = fresh.listener.map(lambda old: next(remaining).to(old))
            tokens = tuple(HeardToken(*token) for token in packed["tokens"])
            plain = {name: packed[name] for name in _PLAIN}
            lists = {name: tuple(packed["heads"][name]) for name in _HEADS}
            heads = HeadsState(states.to(self.device), draft_last=packed["heads"]["draft_last"], **lists)
            if (packed["words"] is None) != (self.search is None):
                raise InputError("a state of another translator: one of the two searches for words")
            words = None if packed["words"] is None else unpack(packed["words"])
            return Hearing(
                listener, pending, pooled.to(self.device), heads, tokens=tokens, words=words, spotter=fresh.spotter,
                search=fresh.search, spots=spots, **plain,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a state of this translator: {error!r}") from error

    def _silence_ms(self, state: Hearing) -> float:
        if not state.tokens and self.search is None:
            return 0.0
        last = state.last_sound if self.search is not None else state.tokens[-1].last
        return (state.frames - 1 - last) * self.frame_ms


def _source(work: Hypothesise) -> Source:
    """What the writer is asked."""
    state: Hearing = work.state
    terms = None if state.spotter is None else state.spotter.terms
    return Source(
        state.tokens, state.segment_frame, state.frames - state.segment_frame, work.prefix, work.final, state.target,
        work.decoding, terms, state.pooled,
    )  # fmt: skip
