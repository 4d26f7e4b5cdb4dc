"""Sentences of one language become pairs by a writer, forwards and backwards."""

import math
from pathlib import Path

import pytest
import torch

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.models.write import store
from streamst.models.write.decoding import TensorDecoder
from streamst.models.write.greedy import Draft, write
from streamst.models.write.network import Writer
from streamst.text import Tokenizer
from streamst.train import recipe
from streamst.train.n_best import likelihoods, n_best
from streamst.train.synthesis import read_pairs
from streamst.train.translated import PAIRS as MADE
from streamst.train.translated import TranslatedConfig

COLOURS = {"red": "rote", "blue": "blaue", "green": "grüne", "old": "alte", "new": "neue"}
THINGS = {"house": "Haus", "book": "Buch", "child": "Kind", "horse": "Pferd", "wheel": "Rad"}
PAIRS = {f"The {c} {t} is here.": f"Das {g} {n} ist hier." for c, g in COLOURS.items() for t, n in THINGS.items()}


def trained(folder: Path, backwards: bool) -> Path:
    (folder / "pairs.tsv").write_text("".join(f"{e}\t{g}\n" for e, g in PAIRS.items()), encoding="utf-8")
    (folder / "recipe.toml").write_text(
        f"""kind = "text-writer"\noutput = "{folder}/run"
[model]\nsource_tokens = 340\ntarget_tokens = 340\nshared = true\ndim = 64\nheads = 2\nmemory_layers = 1
decoder_layers = 2\ndropout = 0.0\nlexicon = 4
[data]\nreversed = {str(backwards).lower()}\nvalidation = ["{folder}/pairs.tsv"]\nvalidation_count = 25
batch_tokens = 600\nerror_share = 0.0\njoined = 0.0\nlabel_smoothing = 0.0
corpora = [{{ path = "{folder}/pairs.tsv" }}]
[loop]\nsteps = 200\nlearning_rate = 4e-3\nwarmup_steps = 10\nlog_every = 10\n""",
        encoding="utf-8",
    )
    figures = recipe.run(folder / "recipe.toml")
    assert figures["BLEU pairs"] > 80, figures
    return folder / "run/model"


@pytest.fixture(scope="module")
def forwards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("forwards"), False)


@pytest.fixture(scope="module")
def backwards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("backwards"), True)


@pytest.fixture(scope="module")
def network(forwards: Path) -> tuple[Writer, Tokenizer]:
    pen = store.load(forwards)
    return pen.network, pen.target_tokenizer


SENTENCES = ["The red horse is here.", "The", "The old wheel is here. The new child is here.", "horse book wheel"]


def test_one_way_is_the_greedy_one(network: tuple[Writer, Tokenizer]) -> None:
    writer, tokenizer = network
    for sentence in SENTENCES:
        source = tokenizer.encode(sentence)
        tokens = torch.tensor([[Tokenizer.begin, *source, Tokenizer.end]])
        hidden = torch.zeros_like(tokens, dtype=torch.bool)
        draft = Draft([], 2 * len(source) + 8, lexical=writer.lexical(tokens[0].tolist()))
        greedy = write(TensorDecoder(writer), writer.begin(writer.memory(tokens, hidden), hidden), [draft])[0]
        found = n_best(writer, [source], 1)[0]
        assert [one.tokens for one in found] == ([greedy.tokens] if greedy.finished else [])


def test_translations_are_the_same_in_any_company_and_as_likely_as_judged(network: tuple[Writer, Tokenizer]) -> None:
    writer, tokenizer = network
    sources = [tokenizer.encode(sentence) for sentence in SENTENCES]
    together = n_best(writer, sources, 3)
    for source, found in zip(sources, together, strict=True):
        alone = n_best(writer, [source], 3)[0]
        assert [one.tokens for one in alone] == [one.tokens for one in found]
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert len({one.tokens for one in found}) == len(found)
        judged = likelihoods(writer, [source] * len(found), [one.tokens for one in found])
        torch.testing.assert_close(judged, torch.tensor([one.score for one in found]), rtol=1e-3, atol=1e-3)
    assert tokenizer.decode(together[0][0].tokens) == PAIRS[SENTENCES[0]]


@pytest.mark.parametrize("source", ["en", "de"])
def test_sentences_of_either_language_become_pairs(
    source: str, forwards: Path, backwards: Path, tmp_path: Path
) -> None:
    writer, other = (forwards, backwards) if source == "en" else (backwards, forwards)
    lines = list(PAIRS if source == "en" else PAIRS.values())
    (tmp_path / "lines.txt").write_text("\n".join([*lines, "", "...", "<b>", lines[0]]) + "\n", encoding="utf-8")
    (tmp_path / "test.tsv").write_text(f"{next(iter(PAIRS)).upper()}\t{PAIRS['The blue book is here.']}\n")
    (tmp_path / "recipe.toml").write_text(
        f"""kind = "translated"\noutput = "{tmp_path}/made"\nsentences = ["{tmp_path}/lines.txt"]
excluded = ["{tmp_path}/test.tsv"]\nwriter = "{writer}"\njudges = ["{other}", "{writer}"]\nbeams = 3\nkept = 0.5\n""",
        encoding="utf-8",
    )
    figures = recipe.run(tmp_path / "recipe.toml")
    pairs = read_pairs(tmp_path / "made/pairs.tsv")
    assert figures["pairs"] == len(pairs) == 12  # half of the 24 that are not tested
    assert math.isfinite(figures["score"])
    assert sum(PAIRS[english] == german for english, german in pairs if english in PAIRS) >= 10


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        ("beams = 0", ConfigError, r"beams 0, .*allowed: beams 1 to 16"),
        ("kept = 1.5", ConfigError, r"kept 1\.5, .*above 0 to 1"),
        ("judge = 1", ConfigError, r"judge"),
        ('sentences = ["{here}/none.txt"]', InputError, r"sentences .*none\.txt: .*No such file"),
        ('sentences = ["{here}/marks.txt"]', ConfigError, r"hold no usable sentence"),
    ],
)
def test_what_cannot_be_translated_is_told(
    told: str, error: type[Exception], message: str, forwards: Path, tmp_path: Path
) -> None:
    (tmp_path / "marks.txt").write_text("...\n\n", encoding="utf-8")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'kind = "translated"\noutput = "{tmp_path}/made"\nwriter = "{forwards}"\n' + told.format(here=tmp_path),
        encoding="utf-8",
    )
    with pytest.raises(error, match=message):
        recipe.run(path)
    assert not (tmp_path / "made").exists()


def test_a_finished_writer_is_trained_on(forwards: Path, tmp_path: Path) -> None:
    told = (forwards.parents[1] / "recipe.toml").read_text().replace(f"{forwards.parents[1]}/run", f"{tmp_path}/run")
    (tmp_path / "more.tsv").write_text("The red nose is here.\tDas rote Pferd ist hier.\n", encoding="utf-8")
    added = f'added = [{{ path = "{tmp_path}/more.tsv", weight = 2.0 }}]\n[loop]'
    told = f'base = "{forwards}"\n' + told.replace("[loop]", added).replace("steps = 200", "steps = 1")
    (tmp_path / "recipe.toml").write_text(told, encoding="utf-8")
    assert recipe.run(tmp_path / "recipe.toml")["BLEU pairs"] > 80  # a step from where the other stopped
    assert (tmp_path / "run/tokens.model").read_bytes() == (forwards / "tokens.model").read_bytes()
    assert "nose" not in (tmp_path / "run/model/words.tsv").read_text(
        encoding="utf-8"
    )  # a writer's word is no evidence
    (tmp_path / "recipe.toml").write_text(
        told.replace("dim = 64", "dim = 32").replace(f"{tmp_path}/run", f"{tmp_path}/other")
    )
    with pytest.raises(ConfigError, match=r"model: dim = 32; base = .* has 64"):
        recipe.run(tmp_path / "recipe.toml")


def test_the_shipped_recipes_hand_on_to_each_other() -> None:
    back, forth, more = (
        recipe.read(Path(f"{name}.toml")) for name in ("back-translation", "distillation", "text-writer-more")
    )
    for told in (back, forth):
        from_dict(TranslatedConfig, {key: value for key, value in told.items() if key not in ("kind", "output")})
    assert [back["writer"], *back["judges"]] == [*forth["judges"], forth["writer"]]
    assert [one["path"] for one in more["data"]["added"]] == [f"{told['output']}/{MADE}" for told in (back, forth)]
    assert more["base"] == forth["writer"]
