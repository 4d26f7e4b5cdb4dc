"""The voice's network: letters of committed words in, codec latents at 50 Hz out, word by word.

Text side: each word is encoded by itself (letters -> sounds), a GRU over word summaries carries the phrase, and a
second encoding of a word's letters sees that context, the end of the word before and the beginning of the word after:
one word of lookahead, never more. Durations, pitch and energy are predicted per letter; frames are laid out by integer
durations and decoded by causal ConvNeXt blocks. A word that nothing follows is "open" unless it ends a sentence.

Shapes: B phrases, W words, L symbols of a word, T frames, D features. Symbols as `symbols.encode` gives them,
0 is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamst.languages.german.symbols import INDEX, SYMBOLS
from streamst.nn.convnext import ConvNeXtStack, StackState
from streamst.nn.state import State

FOLLOWED, OPEN, CLOSED = 0, 1, 2  # what comes after a word: another word, not known yet, nothing (its sentence is over)
PROSODY = 3  # figures per letter: log frames, pitch, energy


@dataclass(frozen=True)
class TtsConfig:
    """Sizes of the network."""

    symbols: int = len(SYMBOLS) + 1
    text_dim: int = 160
    word_blocks: int = 3
    phrase_blocks: int = 2
    text_kernel: int = 5  # letters
    letters_before: int = 2  # of the word before, seen by a word
    letters_after: int = 3  # of the word after
    frame_dim: int = 192
    frame_blocks: int = 6
    kernel_frames: int = 7
    expansion: int = 3
    outputs: int = 64  # codec latents, the first of them the pitch
    longest_letter_frames: int = 60


@dataclass(frozen=True)
class TextState(State):
    """What the text side remembers of a phrase; zeros at its beginning."""

    context: Tensor  # (B, D) GRU over the words said
    tail: Tensor  # (B, letters_before, D) encodings of the last symbols said


class LetterBlock(nn.Module):
    """ConvNeXt over letters, looking both ways, blind to padding."""

    def __init__(self, dim: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, dim * expansion)
        self.down = nn.Linear(dim * expansion, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (R, L, D), mask: (R, L, 1) of 0 and 1; positions outside the mask stay 0."""
        y = self.depthwise((x * mask).transpose(1, 2)).transpose(1, 2)
        y = self.down(F.gelu(self.up(self.norm(y))))
        return (x + self.scale * y) * mask


class LetterStack(nn.Module):
    """Blocks over letters; rows of similar length go together, so that little padding is computed."""

    UPPER = (8, 14)  # lengths that divide rows into groups,
    MANY = 8  # of more rows than these

    def __init__(self, dim: int, blocks: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(LetterBlock(dim, kernel, expansion) for _ in range(blocks))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x: (R, L, D), lengths: (R,), 0 where a row is nothing at all; (R, L, D) that is 0 beyond the lengths."""
        if len(x) <= self.MANY:
            return self._blocks(x, lengths)
        out = torch.zeros_like(x)
        group = torch.bucketize(lengths, torch.tensor(self.UPPER, device=lengths.device))
        for number in range(len(self.UPPER) + 1):
            rows = torch.nonzero((group == number) & (lengths > 0))[:, 0]
            if not len(rows):
                continue
            longest = int(lengths[rows].max())
            y = self._blocks(x[rows, :longest], lengths[rows])
            out = out.index_put((rows[:, None], torch.arange(longest, device=x.device)), y)
        return out

    def _blocks(self, x: Tensor, lengths: Tensor) -> Tensor:
        mask = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None].to(x.dtype)
        x = x * mask
        for block in self.blocks:
            x = block(x, mask)
        return x


class TextEncoder(nn.Module):
    """Symbols of words to encodings and prosody of each symbol."""

    closing: Tensor

    def __init__(self, config: TtsConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embedding = nn.Embedding(c.symbols, c.text_dim, padding_idx=0)
        self.word = LetterStack(c.text_dim, c.word_blocks, c.text_kernel, c.expansion)
        self.summary = nn.Linear(c.text_dim, c.text_dim)
        self.context = nn.GRU(c.text_dim, c.text_dim, batch_first=True)
        self.joined = nn.Linear(2 * c.text_dim, c.text_dim)
        self.ending = nn.Embedding(3, c.text_dim)
        self.place = nn.Embedding(3, c.text_dim)  # of the word before, of the word itself, of the word after
        self.phrase = LetterStack(c.text_dim, c.phrase_blocks, c.text_kernel, c.expansion)
        self.norm = nn.LayerNorm(c.text_dim)
        self.prosody = nn.Sequential(nn.Linear(c.text_dim, c.text_dim), nn.GELU(), nn.Linear(c.text_dim, PROSODY))
        closing = torch.tensor([INDEX["."], INDEX["?"], INDEX["!"]])
        self.register_buffer("closing", closing, persistent=False)

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> TextState:
        """The beginning of a phrase."""
        c = self.config
        context = torch.zeros(batch, c.text_dim, device=device, dtype=dtype)
        return TextState(context, torch.zeros(batch, c.letters_before, c.text_dim, device=device, dtype=dtype))

    def step(self, letters: Tensor, state: TextState) -> tuple[Tensor, Tensor, TextState]:
        """letters: (B, W + 1, L), W words to say and the word after them (all 0 where it is unknown).

        A row may have fewer words: 0 after them. Returns encodings (B, W, L, D), prosody (B, W, L, PROSODY) and the
        state after the last word of each row.
        """
        c = self.config
        batch, more, longest = letters.shape
        words = more - 1
        encoded, summary = self._words(letters.reshape(batch * more, longest))
        encoded = encoded.reshape(batch, more, longest, -1)
        summary = summary.reshape(batch, more, -1)
        lengths = (letters > 0).sum(2)  # (B, W + 1)

        history, _ = self.context(summary[:, :words], state.context[None].contiguous())
        counts = (lengths[:, :words] > 0).sum(1)
        last = (counts - 1).clamp_min(0)
        rows = torch.arange(batch, device=letters.device)
        context = torch.where((counts > 0)[:, None], history[rows, last], state.context)

        tails = self._tails(encoded[:, :words], lengths[:, :words])  # (B, W, before, D)
        before = torch.cat([state.tail[:, None], tails[:, :-1]], 1)
        tail = torch.where((counts > 0)[:, None, None], tails[rows, last], state.tail)
        after = F.pad(encoded[:, 1:, : c.letters_after], (0, 0, 0, max(0, c.letters_after - longest)))

        ends = letters[:, :words].gather(2, (lengths[:, :words] - 1).clamp_min(0)[..., None])[..., 0]
        closed = torch.isin(ends, self.closing)
        kind = torch.where(lengths[:, 1:] > 0, FOLLOWED, torch.where(closed, CLOSED, OPEN))
        seen = self.joined(torch.cat([history, summary[:, 1:]], -1)) + self.ending(kind)

        y = self._phrase(encoded[:, :words], lengths[:, :words], before, after, lengths[:, 1:], seen)
        return y, self.prosody(y), TextState(context, tail)

    def _words(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        """letters (R, L) to encodings (R, L, D) and summaries (R, D), each word by itself."""
        lengths = (letters > 0).sum(1)
        x = self.word(self.embedding(letters), lengths)
        total = x.sum(1) / lengths.clamp_min(1).sqrt()[:, None]
        return x, self.summary(total) * (lengths > 0)[:, None]

    def _tails(self, encoded: Tensor, lengths: Tensor) -> Tensor:
        """The last `letters_before` symbols of each word, zeros where a word is shorter."""
        count = self.config.letters_before
        index = lengths[..., None] - count + torch.arange(count, device=lengths.device)
        picked = encoded.gather(2, index.clamp_min(0)[..., None].expand(-1, -1, -1, encoded.shape[-1]))
        return picked * (index >= 0)[..., None]

    def _phrase(
        self, own: Tensor, lengths: Tensor, before: Tensor, after: Tensor, next_lengths: Tensor, seen: Tensor
    ) -> Tensor:
        """Each word's letters between their neighbours: [end of the one before | letters | start of the one after]."""
        c = self.config
        batch, words, longest, dim = own.shape
        first, beyond = c.letters_before, c.letters_after
        x = torch.cat(
            [before + self.place.weight[0], own + self.place.weight[1], own.new_zeros(batch, words, beyond, dim)], 2
        )
        positions = torch.arange(first + longest + beyond, device=own.device)
        spots = first + lengths[..., None] + torch.arange(beyond, device=own.device)  # (B, W, beyond)
        known = (torch.arange(beyond, device=own.device) < next_lengths[..., None])[..., None]
        x = x * (positions < first + lengths[..., None])[..., None]
        x = x.scatter(2, spots[..., None].expand(-1, -1, -1, dim), (after + self.place.weight[2]) * known)
        totals = torch.where(lengths > 0, first + lengths + next_lengths.clamp_max(beyond), 0)
        x = (x + seen[:, :, None]) * (positions < totals[..., None])[..., None]
        x = self.phrase(x.flatten(0, 1), totals.flatten())
        return self.norm(x[:, first : first + longest]).reshape(batch, words, longest, dim)


class FrameDecoder(nn.Module):
    """Frames laid out by duration to codec latents, causally."""

    POSITIONS = 5
    mean: Tensor  # (outputs,) of the recordings' latents
    deviation: Tensor

    def __init__(self, config: TtsConfig) -> None:
        super().__init__()
        self.config = c = config
        self.inward = nn.Linear(c.text_dim + 2 * (PROSODY - 1) + self.POSITIONS, c.frame_dim)
        self.stack = ConvNeXtStack(c.frame_dim, c.frame_blocks, c.kernel_frames, c.expansion)
        self.norm = nn.LayerNorm(c.frame_dim)
        self.outward = nn.Linear(c.frame_dim, c.outputs)
        self.register_buffer("mean", torch.zeros(c.outputs))
        self.register_buffer("deviation", torch.ones(c.outputs))

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> StackState:
        """Silence before the first frame."""
        return self.stack.init_state(batch, device, dtype)

    def step(self, x: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """x: (B, T, features of `lay_out`) to latents (B, T, outputs)."""
        y, state = self.stack.step(self.inward(x), state)
        return self.mean + self.deviation * self.outward(self.norm(y)), state

    def forward(self, x: Tensor) -> Tensor:
        """The offline path."""
        return self.step(x, self.init_state(x.shape[0], x.device, x.dtype))[0]


def beside(prosody: Tensor, lengths: Tensor) -> Tensor:
    """Pitch and energy (W, L, 2) of each symbol with those of the next in its word (the last: its own): (W, L, 4)."""
    index = torch.arange(prosody.shape[1], device=prosody.device)
    following = torch.minimum(index + 1, (lengths[:, None] - 1).clamp_min(0))
    return torch.cat([prosody, prosody.gather(1, following[..., None].expand(-1, -1, prosody.shape[2]))], -1)


def lay_out(encodings: Tensor, figures: Tensor, durations: Tensor) -> Tensor:
    """Symbols in order to frames (T, features).

    encodings: (N, D); figures: (N, 4) of `beside`; durations: (N,) whole frames, 0 allowed. Each frame has what its
    symbol has, and where in the symbol it is.
    """
    symbol = torch.repeat_interleave(torch.arange(len(durations), device=durations.device), durations)
    length = durations[symbol].to(encodings.dtype)
    starts = (durations.cumsum(0) - durations)[symbol]
    index = (torch.arange(len(symbol), device=durations.device) - starts).to(encodings.dtype)
    position = torch.stack(
        [
            (index + 0.5) / length,
            torch.log(length) / 2,
            (index / 8).clamp_max(2),
            ((length - 1 - index) / 8).clamp_max(2),
            (index == 0).to(encodings.dtype),
        ],
        1,
    )
    return torch.cat([encodings[symbol], figures[symbol], position], 1)


@dataclass(frozen=True)
class Pace:
    """How fast to speak: rate divides all durations, pauses multiplies the silence after each word."""

    rate: float = 1.0
    pauses: float = 1.0


EVEN = Pace()


def whole_frames(log_frames: Tensor, pace: Pace, longest: int) -> Tensor:
    """Predicted log durations (N,) of a word, whose last symbol is the silence after it, to whole frames whose sum is
    true to the prediction at `pace`."""
    wanted = log_frames.exp().clamp_max(longest) / pace.rate
    if pace.pauses != 1:
        wanted[-1] *= pace.pauses
    ends = torch.round(wanted.double().cumsum(0)).long()
    return torch.diff(ends, prepend=ends.new_zeros(1))


class TtsNetwork(nn.Module):
    """Text encoder and frame decoder."""

    KIND = "voice"

    def __init__(self, config: TtsConfig) -> None:
        super().__init__()
        self.config = config
        self.text = TextEncoder(config)
        self.frames = FrameDecoder(config)
        self.text_step: Callable[[Tensor, TextState], tuple[Tensor, Tensor, TextState]] = self.text.step

    def plan(
        self, words: Sequence[Sequence[int]], ahead: Sequence[int], state: TextState, pace: Pace = EVEN
    ) -> tuple[Tensor, TextState]:
        """Frames (1, T, features) of `words` (symbols each) of a phrase; `ahead` is the next word, empty if unknown."""
        letters = batch_of([[*words, ahead]], len(words) + 1).to(state.context.device)
        encodings, prosody, state = self.text.step(letters, state)
        return self._laid_out(encodings[0], prosody[0], letters[0], words, pace), state

    def plan_all(
        self, words: Sequence[Sequence[int]], ahead: Sequence[Sequence[int]], state: TextState, paces: Sequence[Pace]
    ) -> tuple[list[Tensor], TextState]:
        """`plan` of one word each for several speakers, the rows of `state`."""
        letters = batch_of([[word, following] for word, following in zip(words, ahead, strict=True)], 2)
        letters = letters.to(state.context.device)
        encodings, prosody, state = self.text_step(letters, state)
        rows = zip(encodings, prosody, letters, words, paces, strict=True)
        return [self._laid_out(e, p, own, [word], pace) for e, p, own, word, pace in rows], state

    def _laid_out(
        self, encodings: Tensor, prosody: Tensor, letters: Tensor, words: Sequence[Sequence[int]], pace: Pace
    ) -> Tensor:
        """One speaker's frames (1, T, features)."""
        own = letters[:-1] > 0  # (W, L)
        figures = beside(prosody[..., 1:], own.sum(1))
        durations = [
            whole_frames(prosody[index, : len(word), 0], pace, self.config.longest_letter_frames)
            for index, word in enumerate(words)
        ]
        return lay_out(encodings[own], figures[own], torch.cat(durations))[None]


def batch_of(rows: Sequence[Sequence[Sequence[int]]], words: int = 0) -> Tensor:
    """Rows of words of symbols to (B, W, L), padded with 0; `words` is the smallest W."""
    width = max([words, *(len(row) for row in rows)])
    longest = max((len(word) for row in rows for word in row), default=1)
    letters = torch.zeros(len(rows), width, max(1, longest), dtype=torch.long)
    for index, row in enumerate(rows):
        for place, word in enumerate(row):
            letters[index, place, : len(word)] = torch.tensor(list(word), dtype=torch.long)
    return letters
