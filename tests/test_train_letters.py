"""The recogniser that judges voices: its letters, its data, and a whole tiny run from its recipe."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet

from streamst.audio import write_wav
from streamst.errors import CheckpointError, ConfigError, InputError
from streamst.train import recipe
from streamst.train.letters import ALPHABET, Alphabet, german, letters, load_recogniser, recognise, start_from

pytestmark = pytest.mark.filterwarnings("ignore:.*DynamicBucketingSampler.*:UserWarning")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Um 8:00 Uhr kam Tom!", "um acht uhr kam tom"),
        ("„Ja“, sagte sie – leise …", "ja sagte sie leise"),
        ("Größe 42", "größe zweiundvierzig"),
        ("你好 🙂", ""),
    ],
)
def test_text_becomes_the_letters_that_are_said(text: str, spoken: str) -> None:
    assert letters(text) == spoken


def test_labels_are_letters_and_never_the_blank() -> None:
    labels = Alphabet().encode("Süß, ja?")
    assert "".join(ALPHABET[label - 1] for label in labels) == "süß ja"
    assert min(labels) > 0


def test_a_recogniser_starts_from_the_encoder_of_a_translator(tiny_model: Path) -> None:
    made = start_from(tiny_model / "translator").eval()
    again = start_from(tiny_model / "translator").eval()
    pcm = torch.randn(1, 15_360, generator=torch.Generator().manual_seed(1)) * 0.1
    states = [model.encoder(model.features(pcm))[1] for model in (made, again)]
    torch.testing.assert_close(states[0], states[1])
    assert made.phonemes.out_features == 4 * (len(ALPHABET) + 1)


def test_what_is_loud_and_what_is_soft_are_heard_alike(tiny_model: Path) -> None:
    model = start_from(tiny_model / "translator").eval()
    with torch.no_grad():
        model.phonemes.bias.zero_()
    pcm = np.random.default_rng(1).standard_normal(20_000).astype(np.float32) * 0.1
    heard = recognise(model, pcm)
    assert heard
    assert recognise(model, pcm * np.float32(0.25)) == heard


def test_the_german_of_pairs_and_of_manifests_is_read_and_other_files_are_refused(tmp_path: Path) -> None:
    pairs, manifest, other = tmp_path / "pairs.tsv", tmp_path / "manifest.tsv", tmp_path / "other.txt"
    pairs.write_text("One.\tEins.\nTwo.\tZwei.\n", encoding="utf-8")
    manifest.write_text("path\ttext\na.wav\tDrei.\n", encoding="utf-8")
    other.write_text("nothing\n", encoding="utf-8")
    assert german(pairs) == ["Eins.", "Zwei."]
    assert german(manifest) == ["Drei."]
    with pytest.raises(ConfigError, match="English TAB German"):
        german(other)


def test_where_there_is_no_recogniser_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_recogniser(tmp_path)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_a_recipe_makes_its_speech_without_excluded_sentences_and_trains(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    rng = np.random.default_rng(1)
    rows = ["path\tspeaker\ttext\tsplit"]
    for number, split in enumerate(("train", "train", "test")):
        write_wav(folder / f"{number}.wav", (rng.standard_normal(24_000) * 0.1).astype(np.float32), 16_000)
        rows.append(f"{number}.wav\tone\tDas ist Satz {number}.\t{split}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    sentences = ("Der Hund schläft heute.", "Die Katze schläft nicht.", "Wir gehen nach Hause.")
    pairs = "".join(f"English {n}.\t{sentence}\n" for n, sentence in enumerate(sentences))
    (tmp_path / "pairs.tsv").write_text(pairs, encoding="utf-8")
    (tmp_path / "test.tsv").write_text("x\tdie KATZE schläft nicht!\n", encoding="utf-8")
    path = tmp_path / "letters.toml"
    path.write_text(
        f"""
kind = "letters"
output = "{tmp_path / "run"}"
encoder = "{tiny_model / "translator"}"
recordings = "{folder}"
sentences = "{tmp_path / "pairs.tsv"}"
excluded = ["{tmp_path / "test.tsv"}"]
synthetic = 3
[data]
batch_s = 8.0
buckets = 2
[loop]
steps = 2
warmup_steps = 1
""",
        encoding="utf-8",
    )
    figures = recipe.run(path, "cpu")
    assert figures["CER"] > 0
    spoken = {cut.supervisions[0].text for cut in CutSet.from_file(tmp_path / "run/synthetic/cuts.jsonl.gz")}
    assert spoken == {"der hund schläft heute", "wir gehen nach hause"}
    human = {cut.supervisions[0].text for cut in CutSet.from_file(tmp_path / "run/human/cuts.jsonl.gz")}
    assert human == {"das ist satz null", "das ist satz eins"}
    model = load_recogniser(tmp_path / "run/model")
    assert isinstance(recognise(model, np.zeros(8000, np.float32)), str)
    (folder / "manifest.tsv").unlink()
    with pytest.raises(CheckpointError, match="holds a run already"):  # before any speech is made
        recipe.run(path, "cpu")
    (tmp_path / "run/last.pt").unlink()
    with pytest.raises(InputError, match="manifest"):
        recipe.run(path, "cpu")
