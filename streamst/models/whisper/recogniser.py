"""Words with times from a stream of speech: chunks encoded once, Whisper's decoder over the states, words that stay.

After each chunk the decoder goes on from the tokens that are certain. A word is certain when its tokens were read at
least `margin` frames before the end of what was heard (AlignAtt: Papi et al., 2023, section 3) and another word, or the
end, follows; the rest is shown and may change. A pause, or a full memory, ends the utterance: the next begins with a
fresh encoder, which hears the last moments again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.models.glossary import Glossary
from streamst.models.seam import NO_GLOSSARY, Hear, HeardWord, Listening
from streamst.models.whisper.decoder import DecoderConfig, Said, WhisperDecoder
from streamst.models.whisper.encoder import FRAME_MS, FRAME_SAMPLES, PLACES, EncoderConfig, EncoderState, WhisperEncoder
from streamst.models.whisper.vocabulary import Vocabulary
from streamst.nn.state import stacked


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
    tail: int = 25  # frames of silence that flush a stream
    fill: int = 130  # frames of silence after the memory
    pause: int = 40  # frames without a word that end an utterance
    quiet: int = 200  # frames without any word after which the encoder begins anew
    longest: int = 1200  # frames of an utterance
    rehear: int = 40  # frames that a fresh encoder hears again, at most
    most_per_s: float = 14.0  # tokens of fast speech
    loudness: float = 1e-4  # RMS below which nothing is decoded


@dataclass(frozen=True)
class Token:
    """A token and the frame of the utterance it was read at."""

    number: int
    frame: int


@dataclass(frozen=True)
class Ear:
    """What one speaker's stream has come to."""

    encoder: EncoderState  # one row
    memory: Tensor  # (2 * layers, H, T, D / H) of the utterance
    said: Said  # of all certain tokens but the last, the prompt in front
    certain: tuple[Token, ...] = ()
    draft: tuple[Token, ...] = ()
    ended: bool = False  # whether the draft ends where the decoder ended
    before: tuple[HeardWord, ...] = ()  # words of earlier utterances
    origin: int = 0  # frame of the stream at which the utterance begins
    frames: int = 0  # heard since the stream's start
    sound: int = -1  # the last frame, of the stream, that was not silent
    pcm: Tensor = field(default_factory=lambda: torch.zeros(0))  # the last samples


class WhisperRecogniser(nn.Module):
    """Implements `Recogniser` (models/seam.py)."""

    silence: Tensor
    inner: Tensor

    def __init__(self, config: WhisperConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.encoder, self.decoder = WhisperEncoder(config.encoder), WhisperDecoder(config.decoder)
        self.register_buffer("silence", torch.zeros(PLACES, config.encoder.dim))
        self.language, self.sample_rate_hz, self.frame_ms = config.language, 16_000, FRAME_MS
        self.provides = frozenset({"source-words", "punctuation"})
        self.register_buffer("inner", ~torch.tensor(vocabulary.starts_word), persistent=False)  # pieces within words
        self._silent: Tensor | None = None

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> Ear:
        """Nothing heard."""
        device = self.silence.device
        c = self.config.decoder
        memory = torch.zeros(2 * c.layers, c.heads, 0, c.dim // c.heads, device=device)
        return Ear(self.encoder.init_state(1, device), memory, self.decoder.nothing_said())

    @torch.inference_mode()
    def hear_all(self, work: Sequence[Hear]) -> list[Ear]:
        """The states after one chunk of each speaker."""
        heard: list[Ear] = [one.state for one in work]
        chunks = [self._samples(one) for one in work]
        sizes: dict[int, list[int]] = {}
        for row, chunk in enumerate(chunks):
            if len(chunk):
                sizes.setdefault(len(chunk), []).append(row)
        for rows in sizes.values():
            for row, state in zip(rows, self._encode([chunks[r] for r in rows], [heard[r] for r in rows]), strict=True):
                heard[row] = state
        heard = self._decode(heard, [one.final for one in work])
        return [self._turn(state, one.final) for state, one in zip(heard, work, strict=True)]

    def _samples(self, work: Hear) -> Tensor:
        """The chunk; the last one with a tail of silence."""
        pcm = torch.from_numpy(np.ascontiguousarray(work.pcm, dtype=np.float32))
        if not work.final:
            return pcm
        tail = self.config.tail * FRAME_SAMPLES
        return F.pad(pcm, (0, tail + -(len(pcm) + tail) % FRAME_SAMPLES))

    def _encode(self, chunks: Sequence[Tensor], states: Sequence[Ear]) -> list[Ear]:
        """Chunks of one size through the encoder, together."""
        y, encoder = self.encoder.step(torch.stack(list(chunks)), stacked([state.encoder for state in states]))
        memory = self.decoder.heard(y)
        after = []
        for row, (state, chunk) in enumerate(zip(states, chunks, strict=True)):
            own = encoder if len(states) == 1 else encoder.select([row])
            frames = state.frames + y.shape[1]
            loud = chunk.unfold(0, FRAME_SAMPLES, FRAME_SAMPLES).square().mean(1).sqrt() > self.config.loudness
            last = int(loud.nonzero()[-1]) + state.frames if bool(loud.any()) else state.sound
            pcm = torch.cat([state.pcm, chunk])[-3 * self.sample_rate_hz :]
            after.append(
                replace(
                    state, encoder=own, memory=torch.cat([state.memory, memory[row]], 2), frames=frames, sound=last,
                    pcm=pcm,
                )  # fmt: skip
            )
        return after

    def _decode(self, states: Sequence[Ear], final: Sequence[bool]) -> list[Ear]:
        """Go on writing where there is something to write about."""
        after = list(states)
        rows = [r for r, s in enumerate(states) if s.memory.shape[2] and s.sound >= s.origin]
        if not rows:
            return after
        writing = _Writing(self, [states[r] for r in rows])
        for row, (draft, ended, said) in zip(rows, writing.run(), strict=True):
            after[row] = self._settle(replace(states[row], draft=draft, ended=ended), said, final[row])
        return after

    def _settle(self, state: Ear, said: Sequence[Said], final: bool) -> Ear:
        """Make certain what is certain of the draft. said: before each of its tokens was read."""
        limit = state.memory.shape[2] - self.config.margin
        count = len(state.draft) if final else 0
        for at, token in enumerate(state.draft):
            if final or token.frame >= limit:
                break
            follows = self.vocabulary.starts_word[state.draft[at + 1].number] if at + 1 < len(state.draft) else False
            if follows:
                count = at + 1
        if not count:
            return state
        return replace(
            state, certain=(*state.certain, *state.draft[:count]), draft=state.draft[count:], said=said[count]
        )

    def _turn(self, state: Ear, final: bool) -> Ear:
        """Begin another utterance where this one has ended, or is full."""
        c = self.config
        heard = state.memory.shape[2]
        last = max((token.frame for token in (*state.certain, *state.draft)), default=-1)
        if final or (last >= 0 and heard - last > c.pause):
            if final:
                return state
            return self._fresh(state, True, min(heard - last - c.pause // 2, c.rehear))
        if last < 0 and heard >= c.quiet:
            return self._fresh(state, False, c.rehear)
        if heard >= c.longest:
            last = max((token.frame for token in state.certain), default=heard - c.rehear)
            return self._fresh(state, False, min(heard - last - 1, 100))
        return state

    def _fresh(self, state: Ear, keep_draft: bool, rehear: int) -> Ear:
        """The next utterance, its encoder hearing the last `rehear` frames again."""
        words = self._spelled(state, (*state.certain, *state.draft) if keep_draft else state.certain)
        fresh = replace(
            self.init_state(), before=(*state.before, *words), origin=state.frames - rehear,
            frames=state.frames - rehear, sound=state.sound,
        )  # fmt: skip
        if not rehear:
            return replace(fresh, pcm=state.pcm)
        again = state.pcm[-rehear * FRAME_SAMPLES :]
        return replace(self._encode([again], [fresh])[0], pcm=state.pcm, sound=state.sound)

    def listening(self, state: Ear) -> Listening:
        """What a session asks."""
        certain = self._spelled(state, state.certain)
        shown = self._spelled(state, (*state.certain, *state.draft))
        words = (*state.before, *shown)
        last = words[-1].last_frame if words else -1
        return Listening(
            words, len(state.before) + len(certain), state.frames, FRAME_MS, (state.frames - 1 - last) * FRAME_MS
        )

    def forget(self, state: Ear, frame: int) -> Ear:
        """Words that begin before `frame` are not asked for again."""
        return replace(state, before=tuple(word for word in state.before if word.first_frame >= frame))

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


class _Writing:
    """Greedy decoding of several speakers together; rows leave as they end."""

    def __init__(self, ear: WhisperRecogniser, states: Sequence[Ear]) -> None:
        self.ear, self.states, self.config = ear, states, ear.config
        self.heard = [state.memory.shape[2] for state in states]
        if ear._silent is None:
            ear._silent = ear.decoder.heard(ear.silence[None])[0]
        whole = [
            torch.cat([s.memory, ear._silent[:, :, n : n + self.config.fill]], 2)
            for s, n in zip(states, self.heard, strict=True)
        ]
        longest = max(one.shape[2] for one in whole)
        self.memory = torch.stack([F.pad(one, (0, 0, 0, longest - one.shape[2])) for one in whole])
        lengths = torch.tensor([one.shape[2] for one in whole], device=self.memory.device)
        self.unheard = torch.arange(longest, device=self.memory.device) >= lengths[:, None]
        self.drafts: list[list[Token]] = [[] for _ in states]
        self.ended = [False] * len(states)
        self.said = [[state.said] for state in states]

    def run(self) -> list[tuple[tuple[Token, ...], bool, list[Said]]]:
        """(draft, whether it ended, what was said before each of its tokens was read)."""
        ear, open_rows = self.ear, list(range(len(self.states)))
        tokens = [[s.certain[-1].number] if s.certain else list(self.config.prompt) for s in self.states]
        while open_rows:
            y, said, weights = ear.decoder.step(
                [tokens[r] for r in open_rows], [self.said[r][-1] for r in open_rows],
                self.memory[open_rows], self.unheard[open_rows],
            )  # fmt: skip
            scores = ear.decoder.logits(y)
            scores[:, ear.vocabulary.end + 1 :] = float("-inf")
            scores[:, list(self.config.suppressed)] = float("-inf")
            going = []
            for place, row in enumerate(open_rows):
                if self._take(row, scores[place], weights[place], said[place]):
                    going.append(row)
                    tokens[row] = [self.drafts[row][-1].number]
            open_rows = going
        return [(tuple(d), e, s) for d, e, s in zip(self.drafts, self.ended, self.said, strict=True)]

    def _take(self, row: int, scores: Tensor, weights: Tensor, said: Said) -> bool:
        """Write the best token; False at the end."""
        state, draft, heard = self.states[row], self.drafts[row], self.heard[row]
        if not state.certain and not draft:
            scores[list(self.config.suppressed_first)] = float("-inf")
        elif not draft:  # what is certain stays: after it comes a new word, never a piece that would change the last one
            scores[: self.ear.vocabulary.end].masked_fill_(self.ear.inner, float("-inf"))
        best = int(scores.argmax())
        if best == self.ear.vocabulary.end:
            self.ended[row] = True
            return False
        frame = int(weights[:heard].argmax())
        numbers = [t.number for t in (*state.certain, *draft)] + [best]
        most = 8 + heard * FRAME_MS / 1000 * self.config.most_per_s
        if len(numbers) > most or len(numbers) > 200 or _circles(numbers):
            return False
        draft.append(Token(best, frame))
        self.said[row].append(said)
        return True


def _circles(numbers: Sequence[int]) -> bool:
    """Whether the end goes round: up to eight tokens, three times running."""
    return any(
        len(numbers) >= 3 * size and numbers[-size:] == numbers[-2 * size : -size] == numbers[-3 * size : -2 * size]
        for size in range(1, 9)
    )
