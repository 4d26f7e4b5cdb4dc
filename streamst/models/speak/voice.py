"""The German voice: words in, speech out, each word as soon as the next one is known. Implements `seam.Voice`.

Audio of a word never changes once the word was spoken: the state of the network and of the codec's decoder is carried
from word to word, so there are no joins to hide, and words one by one sound like all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from streamst import checkpoint, watermark
from streamst.codecs.neural import DecoderState, NeuralCodec
from streamst.config import from_dict
from streamst.errors import CheckpointError, InputError
from streamst.languages.catalog import language_name
from streamst.languages.german.groups import together
from streamst.languages.german.place import CONTEXT
from streamst.languages.german.spoken import leans, sayable, spoken
from streamst.languages.german.symbols import closes, encode
from streamst.models.seam import Pcm, Speak, check_speech
from streamst.nn.convnext import StackState
from streamst.nn.state import stacked

from .network import Pace, TextState, TtsConfig, TtsNetwork

# Frames (1, T, features), T at least 1, and both states to samples and the states after them.
Sound = Callable[[Tensor, StackState, DecoderState], tuple[Pcm, StackState, DecoderState]]


class LatentDecoder(Protocol):
    """What the voice needs of a codec's decoder: latents (B, T, D) to samples (B, T * hop)."""

    def init_state(self, batch: int, device: torch.device | str = ..., dtype: torch.dtype = ...) -> DecoderState: ...

    def step(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]: ...


@dataclass(frozen=True)
class VoiceState:
    """One speaker's voice. Written words are held until they can be spoken; everything else is tensors with B = 1."""

    held: tuple[str, ...]  # the words waiting for the next: one, or those said together with it, or a silent one more
    before: tuple[str, ...]  # the written words before them, none at the beginning of a phrase
    opening: bool  # nothing of the phrase was said yet
    text: TextState
    frames: StackState
    decoder: DecoderState
    mark: watermark.MarkState


class GermanVoice:
    """The shipped voice over a codec's decoder. Holds weights, never a session."""

    language = "de"

    def __init__(
        self, network: TtsNetwork, decoder: LatentDecoder, sample_rate_hz: int = 16_000, marked: bool = True
    ) -> None:
        """marked: whether what it says carries the watermark of synthetic speech."""
        self.marked = marked
        self.sound: Sound = self._sounded
        self.network, self.decoder, self.sample_rate_hz = network, decoder, sample_rate_hz
        self.device = next(network.parameters()).device

    @classmethod
    def load(cls, directory: Path, codec: NeuralCodec, device: torch.device | str = "cpu") -> GermanVoice:
        """The voice in `directory` over `codec`; CheckpointError when it is missing, damaged or for another codec."""
        network = TtsNetwork(from_dict(TtsConfig, checkpoint.read_config(directory, TtsNetwork.KIND), "voice"))
        if network.config.outputs != codec.config.latent_dim:
            raise CheckpointError(
                f"{directory} makes {network.config.outputs} latents a frame, the codec takes {codec.config.latent_dim}"
            )
        checkpoint.load_weights(directory, network)
        return cls(network.to(device).eval(), codec.decoder, codec.config.sample_rate_hz)

    def init_state(self) -> VoiceState:
        """Nothing said, nothing held."""
        network = self.network
        return VoiceState(
            (), (), True, network.text.init_state(1, self.device), network.frames.init_state(1, self.device),
            self.decoder.init_state(1, self.device), watermark.init_state(self.sample_rate_hz),
        )  # fmt: skip

    def held(self, state: VoiceState) -> tuple[str, ...]:
        """The word that waits for the next; two where the second is silent."""
        return state.held

    @torch.inference_mode()
    def speak_all(self, work: Sequence[Speak]) -> list[tuple[Pcm, VoiceState]]:
        """Audio (samples,) of every word that can be spoken; what the words of several speakers sound like is planned
        together.

        Words without anything speakable (emoji, other scripts) are dropped. After `final` a sentence that was closed by
        punctuation is forgotten, an open phrase is remembered and goes on. Where `hurried`, the last word is said too,
        unless how it is said depends on the next. Errors as `seam.check_speech`.
        """
        lines = [_line(one) for one in work]
        says = self._say(lines)
        return [self._end(one, line, say) for one, line, say in zip(work, lines, says, strict=True)]

    def _say(self, lines: Sequence[_Line]) -> list[_Saying]:
        """One word of each a pass, however many there are: the same sums in the same order give the same samples."""
        says = [_Saying(line.state.text, line.state.frames, line.state.decoder) for line in lines]
        for index in range(max((len(line.said) for line in lines), default=0)):
            rows = [row for row, line in enumerate(lines) if index < len(line.said)]
            text = stacked([says[row].text for row in rows])
            planned, text = self.network.plan_all(
                [lines[row].said[index] for row in rows], [lines[row].seen[index] for row in rows], text,
                [lines[row].pace for row in rows],
            )  # fmt: skip
            for place, row in enumerate(rows):
                says[row].text = text if len(rows) == 1 else text.select([place])
                if planned[place].shape[1]:
                    say = says[row]
                    pcm, say.frames, say.decoder = self.sound(planned[place], say.frames, say.decoder)
                    say.pieces.append(pcm)
        return says

    def _sounded(
        self, planned: Tensor, frames: StackState, decoder: DecoderState
    ) -> tuple[Pcm, StackState, DecoderState]:
        latents, frames = self.network.frames.step(planned, frames)
        samples, decoder = self.decoder.step(latents, decoder)
        return samples[0].cpu().numpy(), frames, decoder

    def by_graphs(self, voice: Path, codec: Path) -> None:
        """From now on ONNX Runtime computes, by the graphs in the folders of the voice and of its codec; errors as
        `GraphSession`."""
        from .graphs import GraphSound, GraphText

        self.sound, self.network.text_step = GraphSound(voice, codec), GraphText(voice, self.network.config)

    def _end(self, work: Speak, line: _Line, say: _Saying) -> tuple[Pcm, VoiceState]:
        pcm = np.concatenate([np.zeros(0, np.float32), *say.pieces])
        text, opening, before, mark = say.text, line.opening, line.before, line.state.mark
        if line.ends and line.said and line.closed:
            text, opening, before = self.network.text.init_state(1, self.device), True, ()
        if self.marked:
            pcm, mark = watermark.mark(pcm, mark, work.final)
        return pcm, VoiceState(line.held, before, opening, text, say.frames, say.decoder, mark)


@dataclass(frozen=True)
class _Line:
    """What is to be said now."""

    state: VoiceState
    said: list[list[int]]  # symbols of each word
    seen: list[list[int]]  # what each sees of the next: never more than a voice that goes word by word knows
    held: tuple[str, ...]
    before: tuple[str, ...]
    opening: bool
    closed: bool
    ends: bool  # nothing is known of what comes
    pace: Pace


@dataclass
class _Saying:
    """The networks' part of the state while a line is being said, and what was said."""

    text: TextState
    frames: StackState
    decoder: DecoderState
    pieces: list[Pcm] = field(default_factory=list)


def _line(work: Speak) -> _Line:
    """Which words can be spoken now, and how they are spelled out."""
    state: VoiceState = work.state
    check_speech(work.words, work.rate, work.pauses)
    given = [*state.held, *(piece for word in work.words for piece in word.split() if sayable(piece))]
    written = together(given, state.before[-1] if state.before else "")
    context = [*state.before, *written]  # of the word n, what stands before n + len(state.before)
    count, ahead = len(written), ()
    ends = work.final or (work.hurried and bool(given) and not leans(given[-1]))
    while not ends and count and not ahead:  # a silent word (the "Uhr" of 14:30) says nothing of what comes
        count -= 1
        ahead = spoken(written[count].split()[0], context[: count + len(state.before)])
    said: list[list[int]] = []
    seen: list[list[int]] = []
    opening, closed = state.opening, False
    for index in range(count):
        following = written[index + 1].split()[0] if index + 1 < len(written) else None
        before = context[: index + len(state.before)]
        pieces = spoken(written[index], before, following)
        guess = spoken(written[index].split()[0], before)
        if len(seen) < len(said) and (guess or pieces):  # also by a "€" that is silent before its price
            seen.append(encode((guess or pieces)[0]))
        for place, piece in enumerate(pieces):
            if place:
                seen.append(encode(piece))
            said.append(encode(piece, opening))
            opening, closed = False, closes(piece)
    if len(seen) < len(said):
        seen.append(encode(ahead[0]) if ahead else [])
    pace = Pace(work.rate, work.pauses)
    held = tuple(word for unit in written[count:] for word in unit.split())
    before = tuple(context[: count + len(state.before)][-CONTEXT:])
    return _Line(state, said, seen, held, before, opening, closed, ends, pace)


def say(voice: GermanVoice, text: str, rate: float = 1.0) -> Pcm:
    """The speech (samples,) of a whole text; InputError when nothing in it can be spoken."""
    ((pcm, _),) = voice.speak_all([Speak(tuple(text.split()), voice.init_state(), True, rate)])
    if not len(pcm):
        shown, name = text if len(text) <= 40 else text[:40] + "…", language_name(voice.language)
        raise InputError(f"there is nothing to speak in {shown!r}; allowed: {name} text, digits, punctuation")
    return pcm
