"""The writer learns from pairs of many registers, and its folder serves sessions."""

import json
import random
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from streamst.errors import CheckpointError, ConfigError, InputError
from streamst.events import Caption
from streamst.models.seam import Hear, HeardWord, Listening, Models, Write
from streamst.models.segment import SegmentConfig
from streamst.models.write import store
from streamst.pipeline import load
from streamst.policies.base import Decoding, Need
from streamst.policies.catalog import LATENCY_NAMES
from streamst.policies.wait_k import WaitK
from streamst.session import Session, SessionOptions
from streamst.text import Tokenizer, plain_marks, shorter_case, train_tokenizer
from streamst.train import recipe
from streamst.train.cross_entropy import projected_cross_entropy
from streamst.train.pairs import Corpus, drawn, fits, read_corpora
from streamst.train.text_gate import task as gate_task
from streamst.train.text_writer import task


@dataclass(frozen=True)
class Read:
    """How many samples went by."""

    samples: int = 0
    forgotten: int = 0  # words


class Reader:
    """Reads its words aloud, two a second, whatever it hears."""

    language, sample_rate_hz, provides, segments = "en", 16_000, frozenset[Need](), SegmentConfig()

    def __init__(self, words: list[str]) -> None:
        self.words = tuple(HeardWord(word, 5 * n, 5 * n + 4) for n, word in enumerate(words))

    def chunk_samples(self, chunk_ms: int) -> int:
        return chunk_ms * 16

    def init_state(self, glossary: Any = None) -> Read:
        del glossary
        return Read()

    def hear_all(self, work: Sequence[Hear]) -> list[Read]:
        return [replace(one.state, samples=one.state.samples + len(one.pcm)) for one in work]

    def listening(self, state: Read) -> Listening:
        frames = state.samples // 1_600
        read = [word for word in self.words if word.last_frame < frames][state.forgotten :]
        return Listening(tuple(read), len(read), frames, 100.0, 0.0 if frames < 5 * len(self.words) else 1_000.0)

    def forget(self, state: Read, words: int, frame: int, labels: Any = None) -> Read:
        del frame, labels
        return replace(state, forgotten=state.forgotten + words)


class Stubborn(Reader):
    """Forgets nothing."""

    def forget(self, state: Read, words: int, frame: int, labels: Any = None) -> Read:
        del words, frame, labels
        return state


COLOURS = {"red": "rote", "blue": "blaue", "green": "grüne", "old": "alte", "new": "neue"}
THINGS = {"house": "Haus", "book": "Buch", "child": "Kind", "horse": "Pferd", "wheel": "Rad"}
PAIRS = [
    (f"The {c} {t} is here.", f"Das {g} {n} ist hier.") for c, g in COLOURS.items() for t, n in THINGS.items()
]  # fmt: skip


def written(folder: Path, steps: int = 2) -> Path:
    """A recipe over the 25 sentences."""
    (folder / "pairs.tsv").write_text("".join(f"{e}\t{g}\n" for e, g in PAIRS), encoding="utf-8")
    (folder / "test.tsv").write_text("the new book is HERE\tDas neue Buch ist hier.\n", encoding="utf-8")
    (folder / "recipe.toml").write_text(
        f"""kind = "text-writer"\noutput = "{folder}/run"
[model]\nsource_tokens = 340\ntarget_tokens = 340\nshared = true\ndim = 64\nheads = 2\nmemory_layers = 1
decoder_layers = 2\ndropout = 0.0\nlexicon = 4
[data]\nexcluded = ["{folder}/test.tsv"]\nvalidation = ["{folder}/pairs.tsv"]\nvalidation_count = 25\nbatch_tokens = 600
error_share = 0.0\njoined = 0.0\nlabel_smoothing = 0.0
[[data.corpora]]\npath = "{folder}/pairs.tsv"
[loop]\nsteps = {steps}\nlearning_rate = 4e-3\nwarmup_steps = 10\nlog_every = 10\n""",
        encoding="utf-8",
    )
    return folder / "recipe.toml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registers")
    figures = recipe.run(written(folder, steps=240))
    assert figures["BLEU pairs"] > 80, figures
    assert figures["BLEU pairs heard"] > 80, figures
    return folder / "run/model"


def test_what_was_learned_serves_words_as_written_and_as_heard(trained: Path) -> None:
    pen = store.load(trained)
    for words in ("The red horse is here.", "the red horse is here"):
        heard = tuple(HeardWord(word, 4 * n, 4 * n + 3) for n, word in enumerate(words.split()))
        found = pen.write_all([Write(heard, 20, (), True, "de", Decoding())])[0]
        assert pen.detokenize("de", found.tokens) == "Das rote Pferd ist hier."
        assert len(found.alignment) == len(found.tokens)


def test_a_gate_of_its_own_serves_policies_that_need_one(trained: Path, tmp_path: Path) -> None:
    written(tmp_path)
    told = (tmp_path / "recipe.toml").read_text()
    told = f'base = "{trained}"\n' + told.replace('"text-writer"', '"text-gate"').replace("steps = 2", "steps = 60")
    model, data = told.index("[model]"), told.index("[data]")
    (tmp_path / "recipe.toml").write_text(told[:model] + "[model]\njoiner = 16\n" + told[data:])
    figures = recipe.run(tmp_path / "recipe.toml")
    assert figures["BLEU"] > 60, figures
    assert figures["average proportion"] < 0.95, figures  # not all is read before the first word
    pen, bare = store.load(tmp_path / "run/model"), store.load(trained)
    assert pen.provides - bare.provides == {"taed", "write-probability"}
    assert pen.network.lexicon is not None
    assert bare.network.lexicon is not None
    assert (tmp_path / "run/model/words.tsv").read_bytes() == (trained / "words.tsv").read_bytes()
    for name, value in bare.network.state_dict().items():
        assert torch.equal(value, pen.network.state_dict()[name]), name
    heard = tuple(HeardWord(word, 4 * n, 4 * n + 3) for n, word in enumerate(["the", "red", "horse"]))
    found = pen.write_all([Write(heard, 20, (), False, "de", Decoding(writes=True))])[0]
    assert len(found.write_probs) == len(found.tokens)
    assert all(0 <= chance <= 1 for (chance,) in found.write_probs)
    with pytest.raises(ConfigError, match=r"base = 'nowhere' is not the folder of a text writer"):
        gate_task({"base": "nowhere"}, "cpu")


def test_a_second_writer_has_the_dial_of_its_folder(trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    shutil.copytree(trained, tmp_path / "model/pen")
    told = json.loads((tmp_path / "model/model.json").read_text())
    told["writers"]["pen"] = "pen"
    (tmp_path / "model/model.json").write_text(json.dumps(told))
    assert not load(str(tmp_path / "model"), writer="pen").dial
    one = {"policy": "wait-k", "chunk_ms": 640, "params": {"k": 4}}
    dial = {"en-de": dict.fromkeys(LATENCY_NAMES, one)}
    (tmp_path / "model/pen/dial.json").write_text(json.dumps(dial))
    assert load(str(tmp_path / "model"), writer="pen").dial["en-de"]["low"].params == {"k": 4}
    assert not load(str(tmp_path / "model"), writer="own").dial


def test_a_recogniser_that_forgets_nothing_holds_no_session_up(trained: Path) -> None:
    models = Models(Stubborn(["The", "blue", "book", "is", "here."]), store.load(trained))
    session = Session(models, WaitK(k=2), SessionOptions("de", 320, speech=False))
    events = [*session.push(np.zeros(16_000 * 4, np.float32)), *session.finish()]
    written = [e.stable for e in events if isinstance(e, Caption) and e.lang == "de" and e.final]
    assert written[0] == "Das blaue Buch ist hier."


@pytest.mark.parametrize("precision", ["float32", "frozen"])
def test_a_model_may_have_it_as_a_second_writer(
    trained: Path, tiny_model: Path, tmp_path: Path, precision: str
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    shutil.copytree(trained, tmp_path / "model/pen")
    told = json.loads((tmp_path / "model/model.json").read_text())
    told["writers"]["pen"] = "pen"
    (tmp_path / "model/model.json").write_text(json.dumps(told))
    pipeline = load(str(tmp_path / "model"), precision=precision, writer="pen")
    assert pipeline.parts["writer"] == "pen"
    models = Models(
        Reader(["The", "blue", "book", "is", "here.", "The", "old", "wheel", "is", "here."]), pipeline.writer
    )
    session = Session(models, WaitK(k=2), SessionOptions("de", 320, speech=False))
    events = [*session.push(np.zeros(16_000 * 12, np.float32)), *session.finish()]
    written = {e.segment: e.stable for e in events if isinstance(e, Caption) and e.lang == "de" and e.final}
    assert " ".join(written.values()) == "Das blaue Buch ist hier. Das alte Rad ist hier."
    with pytest.raises(InputError, match="writer 'quill' is not known; allowed: own, pen, ct2:DIR"):
        load(str(tmp_path / "model"), writer="quill")


def test_a_folder_tells_its_languages_without_its_weights(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    assert store.languages(tmp_path) == ("en", ("de",))


def test_a_folder_with_another_vocabulary_is_refused(trained: Path, tmp_path: Path) -> None:
    for name in ("config.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    train_tokenizer([e for e, _ in PAIRS], 300, tmp_path / "tokens.model", fallback=True)
    with pytest.raises(CheckpointError, match="has 300 tokens; the writer beside it has 340"):
        store.load(tmp_path)
    described = json.loads((trained / "config.json").read_text())
    described["config"]["writer"]["shared"] = False
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match=r"shared = false.*one vocabulary"):
        store.languages(tmp_path)


def test_what_tests_never_trains(tmp_path: Path) -> None:
    written(tmp_path)
    corpus = Corpus(str(tmp_path / "pairs.tsv"))
    assert len(read_corpora([corpus], [])) == 25
    kept = read_corpora([corpus, corpus], [str(tmp_path / "test.tsv")])
    assert len(kept) == 24  # each once, and not the one whose words, as they are spoken, are tested
    assert "The new book is here." not in {pair.english for pair in kept}


@pytest.mark.parametrize(
    ("english", "german", "kept"),
    [
        ("Good morning.", "Guten Morgen.", True),
        ("Wait!", "Einen Augenblick bitte!", True),
        ("Press {key} to go on.", "Drücken Sie {key}.", False),
        ("Save %s?", "%s speichern?", False),
        ("<b>Bold</b> words", "Fette Wörter", False),
        ("Unexpected failure in the engine.", "Unexpected failure in the engine.", False),
        ("Berlin", "Berlin", True),
        ("Yes.", "Das ist nun wirklich etwas, das ich so nicht sagen würde.", False),
        ("...", "...", False),
        ("a " * 300, "ein " * 300, False),
    ],
)
def test_pairs_that_cannot_be_translations_are_left_out(english: str, german: str, kept: bool) -> None:
    assert fits(english, german) is kept


def test_an_epoch_reads_by_weight() -> None:
    places = [p for seed in range(400) for p in drawn([1.0, 0.25, 2.5], random.Random(seed))]
    assert places.count(0) == 400
    assert 70 < places.count(1) < 130
    assert 950 < places.count(2) < 1050
    with pytest.raises(ConfigError, match=r"weight 0 of x\.tsv; allowed: above 0 to 100"):
        Corpus("x.tsv", 0)


def test_batches_begin_anywhere_and_stay_within_their_tokens(tmp_path: Path) -> None:
    made = task({"output": str(tmp_path / "run"), **_tables(written(tmp_path))}, "cpu")
    first = made.batches(0)
    batches = [next(first) for _ in range(6)]
    again = next(made.batches(4))
    assert torch.equal(again.source, batches[4].source)
    assert torch.equal(again.targets, batches[4].targets)
    for batch in batches:
        assert (batch.source.shape[1] + batch.inputs.shape[1]) * len(batch.source) <= 600


def _tables(path: Path) -> dict[str, object]:
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: found[name] for name in ("model", "data")}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("biased", [False, True])
def test_cross_entropy_in_pieces_is_cross_entropy(smoothing: float, biased: bool) -> None:
    torch.manual_seed(0)
    drawn = [torch.randn(1_100, 16), torch.randn(50, 16), *([torch.randn(1_100, 7)] if biased else [])]
    places = torch.randint(0, 50, (1_100, 7))
    targets = torch.randint(0, 50, (1_100,))
    found = [one.clone().requires_grad_() for one in drawn]
    right = [one.clone().requires_grad_() for one in drawn]
    ours = projected_cross_entropy(found[0], found[1], targets, smoothing, (places, found[2]) if biased else None)
    logits = right[0] @ right[1].T
    logits = logits.scatter_add(1, places, right[2]) if biased else logits
    theirs = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    (3 * ours).backward()
    (3 * theirs).backward()
    for one, other in zip(found, right, strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_every_letter_can_be_spelled(tmp_path: Path) -> None:
    lines = [text for pair in PAIRS for text in pair]
    tokenizer = train_tokenizer(lines, 340, tmp_path / "tokens.model", digits=True, fallback=True)
    for text in ("Łódź", "Herr Škoda 漢字", "2026", "Œuvre & Co."):
        ids = tokenizer.encode(text)
        assert Tokenizer.unknown not in ids
        assert tokenizer.decode(ids) == text


def test_marks_are_of_one_kind() -> None:
    assert plain_marks("„Ja“, sagte er …  Don’t – now") == '"Ja", sagte er... Don\'t - now'


def test_words_that_are_known_in_lower_case_are_read_so(tmp_path: Path) -> None:
    lines = ["the earth turns to its end", "earth and air end", "my earth", "Berlin is big", "in Berlin", "an end"] * 9
    tokenizer = train_tokenizer(lines, 310, tmp_path / "tokens.model", fallback=True)
    assert shorter_case("Earth’s END: my  Earth, Berlin Airy 4", tokenizer) == "earth's end: my earth, Berlin Airy 4"
