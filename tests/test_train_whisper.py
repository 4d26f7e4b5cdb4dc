"""The recipe of the Whisper ear: training lowers both losses, what is cut ends, what is wrong is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from streamst.errors import ConfigError
from streamst.models.whisper.decoder import DecoderConfig, WhisperDecoder
from streamst.models.whisper.encoder import EncoderConfig
from streamst.models.whisper.recogniser import WhisperConfig, WhisperRecogniser
from streamst.models.whisper.store import load
from streamst.models.whisper.vocabulary import Vocabulary
from streamst.train.whisper import WhisperLossConfig, WhisperTask
from streamst.train.whisper_data import WhisperBatches, WhisperDataConfig
from streamst.train.whisper_labels import dress, dressed
from streamst.train.whisper_reading import read

PIECES = [b" a", b" b", b"c", b" d", b".", b" e", b" f", b"g"]


class Letters:
    """A tokenizer of " a b": the number of each letter's piece."""

    def encode(self, text: str, add_special_tokens: bool) -> SimpleNamespace:
        assert not add_special_tokens
        return SimpleNamespace(ids=[PIECES.index(f" {letter}".encode()) for letter in text.split()])


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    draw = np.random.default_rng(3)
    lines = ["path\tduration_s\tspeaker\ttext\tsplit"]
    for number in range(12):
        seconds = 1.2 + 0.1 * number
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * draw.standard_normal(int(seconds * 16_000)), 16_000)
        text = ("a b d e", "E F", "f a b")[number % 3]
        lines.append(f"{number}.wav\t{seconds}\tone\t{text}\t{'test' if number == 11 else 'train'}")
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "manifest.tsv"


@pytest.fixture
def task(manifest: Path) -> WhisperTask:
    torch.manual_seed(5)
    config = WhisperConfig(
        encoder=EncoderConfig(dim=16, heads=2, layers=1), prompt=(9, 10), suppressed_first=(),
        decoder=DecoderConfig(dim=16, heads=2, layers=1, tokens=11, places=32, alignment=((0, 0),)),
    )  # fmt: skip
    ear = WhisperRecogniser(config, Vocabulary(PIECES))
    ear.silence.normal_()
    data = WhisperDataConfig(manifests=(str(manifest),), batch_s=6.0, validation=2, empty=0.5)
    return WhisperTask(ear, WhisperBatches(data, Letters(), 1), WhisperLossConfig())


def test_recordings_of_the_test_split_are_never_heard(task: WhisperTask) -> None:
    assert {row[0].name for row in (*task.data.rows, *task.data._kept)} == {f"{n}.wav" for n in range(11)}


def test_a_text_in_capitals_that_nobody_dresses_is_heard_but_not_read_and_noise_has_no_words(task: WhisperTask) -> None:
    seen = [tokens for _, batch in zip(range(8), task.batches(0), strict=False) for tokens in batch.tokens]
    assert None in seen
    assert () in seen
    assert (0, 1, 3, 5) in seen


def test_a_text_in_capitals_is_read_as_it_is_dressed(manifest: Path) -> None:
    asked: list[str] = []

    def dress(rows: Sequence[tuple[Path, float, str]]) -> dict[Path, tuple[str, float]]:
        asked.extend(text for _, _, text in rows)
        return {path: ("e f", 1.0 if number else 0.2) for number, (path, _, _) in enumerate(rows)}

    config = WhisperDataConfig(manifests=(str(manifest),), batch_s=6.0, validation=2, empty=0.0, agreement=0.5)
    batches = WhisperBatches(config, Letters(), 1, dress)
    assert set(asked) == {"E F"}
    seen = [
        one
        for _, b in zip(range(12), batches.batches(0), strict=False)
        for one in zip(b.tokens, b.dressed, strict=True)
    ]
    assert ((5, 6), True) in seen
    assert (None, True) in seen  # Whisper wrote something else there
    assert ((0, 1, 3, 5), False) in seen


def test_a_manifest_of_more_weight_is_heard_more(manifest: Path, tmp_path: Path) -> None:
    lines = manifest.read_text().splitlines()
    (tmp_path / "long.tsv").write_text("\n".join([lines[0], *lines[6:11]]) + "\n")
    (tmp_path / "short.tsv").write_text("\n".join([lines[0], *lines[1:6]]) + "\n")
    both = (str(tmp_path / "short.tsv"), str(tmp_path / "long.tsv"))
    config = WhisperDataConfig(manifests=both, weights=(1.0, 50.0), batch_s=0.1, validation=0, empty=0.0)
    batches = WhisperBatches(config, Letters(), 1)
    longest = [int(batch.samples.max()) for _, batch in zip(range(30), batches.batches(0), strict=False)]
    heavy = dataclasses.replace(config, weights=(50.0, 1.0))
    others = [
        int(b.samples.max()) for _, b in zip(range(30), WhisperBatches(heavy, Letters(), 1).batches(0), strict=False)
    ]
    assert sum(longest) > sum(others)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0,), (-1.0,)])
def test_weights_that_fit_no_manifest_are_named(manifest: Path, weights: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"data.weights is .* one above 0 for each of 1 data.manifests"):
        WhisperBatches(WhisperDataConfig(manifests=(str(manifest),), weights=weights), Letters(), 1)


@pytest.mark.parametrize(
    ("capitals", "model", "text", "same"),
    [
        ("MR BROWN DID NOT COME", "Mr. Brown did not come.", "Mr. Brown did not come.", 1.0),
        ("I SAW HIM", "I saw ham!", "I saw him!", 2 / 3),
        ("HE ONE THE OTHER HAND WAS", "He was a other hand. He was.", "He one the other hand was.", 4 / 6),
        ("AND I'M HERE", "", "And I'm here", 0.0),
    ],
)
def test_a_text_wears_what_the_model_wrote(capitals: str, model: str, text: str, same: float) -> None:
    assert dressed(capitals, model) == (text, pytest.approx(same))


def test_what_whisper_wrote_is_kept_in_a_file(task: WhisperTask, tmp_path: Path) -> None:
    rows = [row for row in task.data.rows if row[2].isupper()]
    assert len(rows) > 1
    kept = tmp_path / "out" / "written.json"
    first = dress(rows, task.teacher, kept)
    assert set(first) == {row[0] for row in rows}
    kept.write_text(json.dumps({str(row[0]): "E, f!" for row in rows}))
    assert dress(rows, task.teacher, kept) == {row[0]: ("E, f!", 1.0) for row in rows}


def test_reading_padded_is_reading_alone() -> None:
    torch.manual_seed(3)
    shape = DecoderConfig(dim=16, heads=2, layers=2, tokens=11, places=32, alignment=((0, 0), (1, 1)))
    decoder = WhisperDecoder(shape).eval()
    memory = [torch.randn(size, 16) for size in (9, 6)]
    rows = [[1, 2, 3, 4], [5, 6]]
    y, weights = read(decoder, rows, memory, weights=True)
    assert weights is not None
    nothing = decoder.nothing_said()
    for row, tokens in enumerate(rows):
        (alone,), _, (looked,) = decoder.step([tokens], [nothing], [decoder.heard(memory[row][None])[0]])
        torch.testing.assert_close(y[row, : len(tokens)], alone, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(weights[row, : len(tokens), : len(memory[row])], looked, atol=1e-5, rtol=1e-5)


def test_the_same_step_has_the_same_batch(task: WhisperTask) -> None:
    one, other = next(task.batches(4)), next(task.batches(4))
    assert torch.equal(one.noisy, other.noisy)
    assert one.tokens == other.tokens


def test_training_lowers_the_losses_and_leaves_the_teacher_alone(task: WhisperTask) -> None:
    before = {name: value.clone() for name, value in task.teacher.state_dict().items()}
    batch = next(task.batches(0))
    optimizer = torch.optim.Adam([p for p in task.module.parameters() if p.requires_grad], 2e-3)
    losses = []
    for _ in range(12):
        loss, figures = task.loss(batch, 0)
        assert set(figures) == {"states", "tokens"}
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in task.teacher.state_dict().items())


def test_a_decoder_that_does_not_learn_stays_as_it_is(task: WhisperTask) -> None:
    still = WhisperTask(task.teacher, task.data, WhisperLossConfig(decoder=False))
    loss, _ = still.loss(next(still.batches(0)), 0)
    loss.backward()
    learning = {name for name, one in still.module.named_parameters() if one.grad is not None}
    assert learning
    assert all(name.startswith("encoder.") for name in learning)


def test_what_is_kept_of_a_cut_text_are_whole_words_read_before_the_cut(task: WhisperTask) -> None:
    body, read = [0, 1, 2, 3], [5, 20, 30, 44]  # " a", " bc", " d"
    assert [task._kept(body, read, limit) for limit in (5, 6, 25, 31, 50)] == [0, 1, 1, 3, 4]


def test_what_is_exported_is_loaded_as_it_is_but_for_8_bits(task: WhisperTask, tmp_path: Path) -> None:
    task.export(tmp_path / "ear")
    ear = load(tmp_path / "ear", quick=False)
    assert ear.decoder.sketch.shape == (2, 16, 16)
    for name, value in task.module.state_dict().items():
        torch.testing.assert_close(ear.state_dict()[name], value, atol=0.02, rtol=0.01)
    assert ear.vocabulary.pieces == tuple(PIECES)


def test_too_few_recordings_are_named(manifest: Path) -> None:
    with pytest.raises(ConfigError, match=r"hold 11 recordings .* more than data.validation = 50 are needed"):
        WhisperBatches(WhisperDataConfig(manifests=(str(manifest),)), Letters(), 1)
