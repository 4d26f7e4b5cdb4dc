"""Words with times from a stream of speech: chunks encoded once, Whisper's decoder over the states, words that stay.

After each chunk the decoder goes on from the tokens that are certain. A word is certain when another word, or the end,
follows, its tokens were read at least `margin` frames before the end of what was heard (AlignAtt: Papi et al., 2023,
section 3), and each was likely or was written after the chunk before, too (local agreement: Liu et al., 2020); the rest
is shown and may change. A pause, or a full memory, ends the utterance: the next begins with a fresh encoder, which
hears the last moments again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.models.listen.evidence import EvidenceConfig, SpeechEvidence
from streamst.models.seam import NO_GLOSSARY, Hear, HeardWord, Listening
from streamst.models.segment import SegmentConfig, closes
from streamst.models.whisper.decoder import DecoderConfig, WhisperDecoder
from streamst.models.whisper.encoder import (
    FRAME_MS,
    FRAME_SAMPLES,
    PLACES,
    EncoderConfig,
    EncoderState,
    WhisperEncoder,
    narrow,
)
from streamst.models.whisper.memory import Memory
from streamst.models.whisper.terms import Terms
from streamst.models.whisper.vocabulary import Vocabulary
from streamst.models.whisper.writing import Token, Writing
from streamst.nn.state import stacked
from streamst.policies.base import Need

MIN_CHUNK_MS, MAX_CHUNK_MS = 160, 2560
MOST_WORDS = 60  # of a segment
MOST_AGAIN = 100  # frames that a fresh encoder hears again


@dataclass(frozen=True)
class WhisperConfig:
    """Both networks, and what of their words is certain. Frames are 20 ms."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    language: str = "en"
    prompt: tuple[int, ...] = (50_257, 50_362)  # begin of transcript, no times
    suppressed: tuple[int, ...] = ()  # never written
    suppressed_first: tuple[int, ...] = (220, 50_256)  # never written first
    margin: int = 10  # frames before the end of the audio from which words are not yet certain
    sure: float = -0.2  # log-probability above which a token needs no second pass
    unlikely: float = -2.0  # log-probability of a first token below which nobody spoke
    unlikely_at_once: float = -1.3  # the same of one that is read in the first frames
    at_once: int = 5  # as many of them
    few: int = 3  # tokens that are an utterance at any
    weak: float = -1.0  # mean log-probability; fewer tokens are none below it
    looped: float = -0.6  # nor are those below it that are repetitions by half
    fading: float = 0.5  # of the loudest frame, from utterance to utterance
    doubtful: float = -0.5  # log-probability below which a token may be of a term that was not understood
    alike: float = 0.45  # part of their pairs of letters that a term and what was written share
    bonus: float = 2.0  # of a glossary's terms, a token [nats]
    tail: int = 25  # frames of silence that flush a stream
    fill: int = 130  # frames of silence after the memory
    breath: int = 20  # silent frames after which agreed words, and a sentence that has its mark, wait for nothing more
    pause: int = 40  # silent frames after a word that end an utterance
    patience: int = 120  # frames without a word, silent or not, that end one
    quieter: float = 0.06  # than the loudest frame of the utterance, by this factor, is silence
    quiet: int = 200  # frames without any word after which the encoder begins anew
    longest: int = 1200  # frames of an utterance
    rehear: int = 40  # frames that a fresh encoder hears again, at most
    back: int = 100  # frames before what was read that are looked at; who goes further begins the sentence anew
    after: int = 40  # frames after the last sound in which a word may still be read
    most_per_s: float = 14.0  # tokens of fast speech
    loudness: float = 1e-4  # RMS below which nothing is decoded
    evidence: EvidenceConfig = field(default_factory=lambda: EvidenceConfig(0.8, 50))  # below which nobody speaks
    voice: float = 2.5  # evidence [nats] from which somebody surely does
    speech_sha256: str = ""  # of the file that tells noise from speech; "" where there is none


@dataclass(frozen=True)
class Ear:
    """What one speaker's stream has come to; InputError for what none comes to.

    What the networks made of the utterance is not written down: it is made again, to the last bit, from its samples and
    where they were cut (`whole`).
    """

    encoder: EncoderState = field(metadata={"packed": False})  # one row, keys and values in 16 bits
    states: Tensor = field(metadata={"packed": False})  # (T, D) of the utterance, in 16 bits
    memory: Memory = field(metadata={"packed": False})  # of them
    loud: Tensor  # (T,) whether they sound
    terms: Terms | None = field(default=None, metadata={"packed": False})
    certain: tuple[Token, ...] = ()
    draft: tuple[Token, ...] = ()
    before: tuple[HeardWord, ...] = ()  # words of earlier utterances
    origin: int = 0  # frame of the stream at which the utterance begins
    frames: int = 0  # heard since the stream's start
    start: int = 0  # the first of them whose words are still asked for
    sound: int = -1  # the last frame, of the stream, that was not silent
    loudest: float = 0.0  # RMS of the utterance's loudest frame
    pcm: Tensor = field(default_factory=lambda: torch.zeros(0))  # samples of the utterance, and some before it
    cuts: tuple[int, ...] = ()  # frames of each of its chunks

    def __post_init__(self) -> None:
        heard = sum(self.cuts)
        if min(self.cuts, default=1) < 1 or heard > PLACES:
            raise InputError(f"an utterance of {heard} frames in {len(self.cuts)} chunks; at most {PLACES} are allowed")
        if len(self.pcm) < heard * FRAME_SAMPLES or len(self.loud) != heard:
            raise InputError(f"{len(self.pcm)} samples and {len(self.loud)} frames of an utterance of {heard} frames")


class WhisperRecogniser(nn.Module):
    """Implements `Recogniser` (models/seam.py)."""

    silence: Tensor
    allowed: Tensor

    def __init__(self, config: WhisperConfig, vocabulary: Vocabulary, evidence: SpeechEvidence | None = None) -> None:
        """evidence: what tells noise from speech by the encoder's states, where it is known."""
        super().__init__()
        self.config, self.vocabulary, self.evidence = config, vocabulary, evidence
        self.encoder, self.decoder = WhisperEncoder(config.encoder), WhisperDecoder(config.decoder)
        self.register_buffer("silence", torch.zeros(PLACES, config.encoder.dim))
        self.language, self.sample_rate_hz, self.frame_ms = config.language, 16_000, FRAME_MS
        self.provides: frozenset[Need] = frozenset()
        self.segments = SegmentConfig(longest=MOST_WORDS)
        self.register_buffer("allowed", _allowed(config, vocabulary), persistent=False)
        self._silence: Tensor | None = None
        self._terms = lru_cache(maxsize=8)(Terms)  # sessions of one customer bring the same glossary

    @property
    def silent(self) -> Tensor:
        """Keys and values of silence (2 * layers, H, 1500, D / H), computed once."""
        if self._silence is None or self._silence.device != self.silence.device:
            self._silence = self.decoder.heard(self.silence[None])[0]
        return self._silence

    def quicken(self) -> None:
        """Compute in 8 bits and by graphs, for a CPU."""
        self.decoder.quicken()
        self.encoder.quicken()

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> Ear:
        """Nothing heard. What is spelled like a term of `glossary` may be it."""
        device = self.silence.device
        c = self.config.decoder
        memory = Memory.nothing(2 * c.layers, c.heads, c.dim // c.heads, device)
        nothing = torch.zeros(0, self.config.encoder.dim, device=device, dtype=torch.half)
        terms = self._terms(glossary, self.vocabulary) if glossary else None
        silent = torch.zeros(0, dtype=torch.bool, device=device)
        encoder, unheard = narrow(self.encoder.init_state(1, device)), torch.zeros(0, device=device)
        return Ear(encoder, nothing, memory, silent, terms, pcm=unheard)

    def chunk_samples(self, chunk_ms: int) -> int:
        """The samples of a chunk; InputError names the allowed chunks."""
        whole = isinstance(chunk_ms, int) and not isinstance(chunk_ms, bool)
        if not whole or chunk_ms % FRAME_MS or not MIN_CHUNK_MS <= chunk_ms <= MAX_CHUNK_MS:
            raise InputError(
                f"a chunk of {chunk_ms!r} ms is not possible; "
                f"allowed: multiples of {FRAME_MS:.0f} ms from {MIN_CHUNK_MS} to {MAX_CHUNK_MS} ms"
            )
        return chunk_ms * self.sample_rate_hz // 1000

    @torch.inference_mode()
    def hear_all(self, work: Sequence[Hear]) -> list[Ear]:
        """The states after one chunk of each speaker."""
        heard = [self.whole(one.state) for one in work]
        chunks = [self._samples(one) for one in work]
        sizes: dict[int, list[int]] = {}
        for row, chunk in enumerate(chunks):
            if len(chunk):
                sizes.setdefault(len(chunk), []).append(row)
        for rows in sizes.values():
            for row, state in zip(rows, self._encode([chunks[r] for r in rows], [heard[r] for r in rows]), strict=True):
                heard[row] = state
        heard = self._decode(heard, work)
        return [self._turn(state, one.final) for state, one in zip(heard, work, strict=True)]

    @torch.inference_mode()
    def encoded(self, pcm: Tensor, chunk: int) -> Ear:
        """Of up to 30 s (samples,) in chunks of as many samples, nothing being written."""
        state = self.init_state()
        for piece in pcm.split(chunk):
            (state,) = self._encode([piece], [state])
        return state

    @torch.inference_mode()
    def whole(self, state: Ear) -> Ear:
        """With what the networks made of the utterance, where a snapshot left it out: it is heard once more."""
        heard = sum(state.cuts)
        if len(state.states) == heard:
            return state
        again, sizes = self.init_state(), [count * FRAME_SAMPLES for count in state.cuts]
        for piece in state.pcm[-heard * FRAME_SAMPLES :].split(sizes):
            (again,) = self._encode([piece], [again])
        return replace(state, encoder=again.encoder, states=again.states, memory=again.memory)

    def _samples(self, work: Hear) -> Tensor:
        """The chunk; the last one with a tail of silence."""
        pcm = torch.from_numpy(np.ascontiguousarray(work.pcm, dtype=np.float32)).to(self.silence.device)
        if not work.final:
            return pcm
        tail = self.config.tail * FRAME_SAMPLES
        return F.pad(pcm, (0, tail + -(len(pcm) + tail) % FRAME_SAMPLES))

    def _encode(self, chunks: Sequence[Tensor], states: Sequence[Ear]) -> list[Ear]:
        """Chunks of one size through the encoder: together, but on a CPU one by one, whose frames fill it, and whose
        caches then lie still."""
        if len(states) > 1 and self.silence.device.type == "cpu":
            return [self._encode([one], [state])[0] for one, state in zip(chunks, states, strict=True)]
        y, encoder = self.encoder.step(torch.stack(list(chunks)), stacked([state.encoder for state in states]))
        y = y.half()
        memory = self.decoder.heard(y.float())
        after = []
        for row, (state, chunk) in enumerate(zip(states, chunks, strict=True)):
            own = encoder if len(states) == 1 else encoder.select([row])
            count = len(chunk) // FRAME_SAMPLES
            frames, new = state.frames + count, count + min(self.config.encoder.again, len(state.states))
            kept = len(state.states) + count - new
            grown = state.memory.grown(kept, memory[row][:, :, -new:])
            seen = torch.cat([state.states[:kept], y[row, -new:]])
            rms = chunk.unfold(0, FRAME_SAMPLES, FRAME_SAMPLES).square().mean(1).sqrt()
            loudest = max(state.loudest, float(rms.max()))
            sounds = rms > max(self.config.loudness, self.config.quieter * loudest)
            loud = sounds.nonzero()
            last = int(loud[-1]) + state.frames if len(loud) else state.sound
            cuts, sounding = (*state.cuts, count), torch.cat([state.loud, sounds])
            pcm = torch.cat([state.pcm, chunk])[-max(MOST_AGAIN, sum(cuts)) * FRAME_SAMPLES :]
            after.append(
                replace(
                    state, encoder=own, states=seen, memory=grown, loud=sounding, frames=frames, sound=last, pcm=pcm,
                    loudest=loudest, cuts=cuts,
                )
            )  # fmt: skip
        return after

    def _decode(self, states: Sequence[Ear], work: Sequence[Hear]) -> list[Ear]:
        """Go on writing where there is something to write about: what was written may change, or there was a sound in
        what was encoded now."""
        after = list(states)
        rows = []
        for row, (state, one) in enumerate(zip(states, work, strict=True)):
            encoded = self.config.encoder.again + len(one.pcm) // FRAME_SAMPLES
            heard = state.sound >= max(state.origin, state.frames - encoded)
            if len(state.states) and (heard or state.draft or (one.final and state.sound >= state.origin)):
                rows.append(row)
        if not rows:
            return after
        found = Writing(self, [states[r] for r in rows]).run()
        for row, tokens in zip(rows, found, strict=True):
            after[row] = self._settle(states[row], tokens, work[row].final)
        return after

    def _settle(self, state: Ear, tokens: Sequence[Token], final: bool) -> Ear:
        """Make certain what is certain of what was found."""
        limit = len(state.states) - self.config.margin
        silent = self._silent(state) >= self.config.breath
        count = len(tokens) if final else 0
        for at, token in enumerate(tokens):
            agreed = token.passes > 1 or token.log_prob > self.config.sure
            if final or token.frame >= limit or not agreed:
                break
            if silent if at + 1 == len(tokens) else self.vocabulary.starts_word[tokens[at + 1].number]:
                count = at + 1
        return replace(state, certain=(*state.certain, *tokens[:count]), draft=tuple(tokens[count:]))

    def _silent(self, state: Ear) -> int:
        """Frames since the last sound."""
        return state.frames - 1 - state.sound

    def _turn(self, state: Ear, final: bool) -> Ear:
        """Begin another utterance where this one has ended, or is full."""
        c = self.config
        heard = len(state.states)
        last = max((token.frame for token in (*state.certain, *state.draft)), default=-1)
        if final:
            return state
        silent = state.frames - 1 - max(state.sound, state.origin + last)
        if last >= 0 and (silent >= c.pause or heard - last > c.patience):
            return self._fresh(state, True, min(silent, c.rehear))
        if last < 0 and heard >= c.quiet:
            return self._fresh(state, False, c.rehear)
        if heard >= c.longest:
            last = max((token.frame for token in state.certain), default=heard - c.rehear)
            return self._fresh(state, False, min(heard - last - 1, MOST_AGAIN))
        return state

    def _fresh(self, state: Ear, keep_draft: bool, rehear: int) -> Ear:
        """The next utterance, its encoder hearing the last `rehear` frames again."""
        words = self._spelled(state, (*state.certain, *state.draft) if keep_draft else state.certain)
        fresh = replace(
            self.init_state(), before=(*state.before, *words), origin=state.frames - rehear,
            frames=state.frames - rehear, sound=state.sound, start=state.start,
            loudest=self.config.fading * state.loudest, terms=state.terms,
        )  # fmt: skip
        pcm = state.pcm[-MOST_AGAIN * FRAME_SAMPLES :].clone()
        if not rehear:
            return replace(fresh, pcm=pcm)
        return replace(self._encode([pcm[-rehear * FRAME_SAMPLES :]], [fresh])[0], pcm=pcm, sound=state.sound)

    def listening(self, state: Ear) -> Listening:
        """What a session asks."""
        certain = (*state.before, *self._spelled(state, state.certain))
        words = (*state.before, *self._spelled(state, (*state.certain, *state.draft)))
        last = words[-1].last_frame if words else -1
        gone = sum(word.first_frame < state.start for word in words)
        words, known = words[gone:], max(0, len(certain) - gone)
        silence_ms = (state.frames - 1 - last) * FRAME_MS
        return Listening(words, known, state.frames, FRAME_MS, silence_ms, self._sentence(state, words, known))

    def _sentence(self, state: Ear, words: Sequence[HeardWord], certain: int) -> int:
        """How many words the first sentence has that has ended: its mark is certain, and another word or a breath
        follows."""
        fewest, breathed = self.segments.fewest_words, self._silent(state) >= self.config.breath
        until = certain if breathed else min(certain, len(words) - 1)
        return next((n for n in range(fewest, until + 1) if closes(words[n - 1].text)), 0)

    def forget(self, state: Ear, words: int, frame: int, labels: int | None = None) -> Ear:
        """The first `words`, which begin before `frame` or at least before the others, are not asked for again."""
        del labels
        gone = self.listening(state).words[:words]
        frame = max([frame, *(word.first_frame + 1 for word in gone)])
        return replace(state, before=tuple(word for word in state.before if word.first_frame >= frame), start=frame)

    def _spelled(self, state: Ear, tokens: Sequence[Token]) -> tuple[HeardWord, ...]:
        """Tokens of the utterance as words, each after the one before it."""
        after, origin = (state.before[-1].last_frame if state.before else -1), state.origin
        groups: list[list[Token]] = []
        for token in tokens:
            if not groups or self.vocabulary.starts_word[token.number]:
                groups.append([])
            groups[-1].append(token)
        words: list[HeardWord] = []
        for group in groups:
            text = self.vocabulary.text([t.number for t in group]).strip()
            if text:
                first = max(origin + group[0].frame, after + 1)
                after = max(first, origin + max(t.frame for t in group))
                words.append(HeardWord(text, first, after))
        return tuple(words)


def _allowed(config: WhisperConfig, vocabulary: Vocabulary) -> Tensor:
    """(3, tokens) 0, or -inf for what is never written, never first, and never after what is certain: that stays, and a
    new word comes after it, not a piece that would change it."""
    found = torch.zeros(3, config.decoder.tokens)
    found[0, vocabulary.end + 1 :] = float("-inf")
    found[0, list(config.suppressed)] = float("-inf")
    found[1, list(config.suppressed_first)] = float("-inf")
    found[2, : vocabulary.end].masked_fill_(~torch.tensor(vocabulary.starts_word), float("-inf"))
    return found
