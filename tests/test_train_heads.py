"""Heads learn from a recipe's files, and the translator that comes out serves the policies that need them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from streamst import checkpoint
from streamst.config import to_dict
from streamst.errors import ConfigError
from streamst.model_file import ModelFile, read_model
from streamst.models import offline
from streamst.models.listen.conformer import ConformerConfig
from streamst.models.listen.lexicon import BLANK
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.models.seam import Hear, Models
from streamst.models.translator import SpeechTranslator, TranslatorConfig
from streamst.models.write.network import Writer, WriterConfig
from streamst.policies.catalog import make_policy
from streamst.session import Session
from streamst.text import Tokenizer, train_tokenizer
from streamst.train import recipe
from streamst.train.cuts import ShardWriter, Utterance, merge_manifests
from streamst.train.taed import task as taed_task

pytestmark = pytest.mark.filterwarnings("ignore:.*DynamicBucketingSampler.*:UserWarning")

WORDS = {"one": (440, "eins"), "two": (880, "zwei"), "six": (1_760, "sechs"), "ten": (3_000, "zehn")}
LOOP = "[loop]\nsteps = STEPS\nlearning_rate = 1e-2\nwarmup_steps = 5\nlog_every = 5\nvalidate_every = 1000\n"


def sound(words: list[str]) -> np.ndarray:
    """0.1 s of silence, then 0.3 s of tone and 0.15 s of silence a word."""
    pieces = [np.zeros(1_600)]
    for word in words:
        pieces += [0.3 * np.sin(2 * np.pi * WORDS[word][0] * np.arange(4_800) / 16_000), np.zeros(2_400)]
    return np.concatenate(pieces).astype(np.float32)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language of four words, each a tone: cuts, sentence pairs, and a translator with random weights."""
    folder = tmp_path_factory.mktemp("heads")
    rng = np.random.default_rng(0)
    sentences = [[str(w) for w in rng.choice(list(WORDS), int(rng.integers(1, 4)))] for _ in range(24)]
    german = [" ".join(WORDS[word][1] for word in words) for words in sentences]
    with ShardWriter(folder / "shard") as writer:
        for number, (words, said) in enumerate(zip(sentences, german, strict=True)):
            writer.write(sound(words), Utterance(f"u{number}", " ".join(words), "tones", said))
    merge_manifests([folder / "shard"], folder / "cuts.jsonl.gz")
    pairs = {" ".join(words): said for words, said in zip(sentences, german, strict=True)}
    (folder / "pairs.tsv").write_text("".join(f"{e}\t{g}\n" for e, g in pairs.items()))
    base = folder / "base"
    source = train_tokenizer(list(pairs), 24, base / "source.model")
    target = train_tokenizer(list(pairs.values()), 30, base / "target.model")
    torch.manual_seed(0)
    encoder = ConformerConfig(dim=32, layers=1, heads=2, kernel=3, middle=1, dropout=0.0)
    hears = ListenerConfig(encoder=encoder, source_tokens=source.size)
    writes = WriterConfig(source.size, target.size, dim=32, heads=2, memory_layers=1, decoder_layers=2, dropout=0.0)
    networks = torch.nn.ModuleDict({"listener": Listener(hears), "writer": Writer(writes)})
    checkpoint.save(base, "translator", to_dict(TranslatorConfig(hears, writes)), networks)
    return folder


@pytest.fixture(scope="module")
def headed(workshop: Path) -> Path:
    """The directory of a run that gave the translator its frame heads."""
    cuts = f'cuts = ["{workshop}/cuts.jsonl.gz"]'
    text = f"""kind = "heads"\noutput = "{workshop}/run"\nbase = "{workshop}/base"
[heads.captions]\ndim = 16\njoiner = 32\n[heads.draft]\n[heads.transducer]\ndim = 16\njoiner = 32
[data]\n{cuts}\nbatch_s = 12.0\nbuckets = 2\nempty = 0.1
[data.augment]\nnoise = 0.0\nspeed = 0.0\nreverb = 0.0\ntelephone = 0.0
[loss]\nshared = true\nwarmup_steps = 10\ndelay_penalty = 0.01
[validation]\n{cuts}\ncount = 4\nchunk = 4\n"""
    (workshop / "heads.toml").write_text(text + LOOP.replace("STEPS", "25"))
    figures = recipe.run(workshop / "heads.toml", "cpu")
    assert set(figures) == {"WER", "transducer chrF", "draft miscounts %"}
    return workshop / "run"


def test_every_head_and_the_shared_listener_learn(headed: Path) -> None:
    lines = [json.loads(line) for line in (headed / "log.jsonl").read_text().splitlines()]
    for name in ("captions", "transducer", "draft", "source"):
        values = [line[name] for line in lines if name in line]
        assert values[-1] < 0.75 * values[0], name


def test_the_exported_translator_captions_through_its_transducer(headed: Path) -> None:
    assert read_model(headed / "model").file == ModelFile("en-de", "en", ("de",))
    translator = SpeechTranslator.load(headed / "model")
    assert translator.recogniser.provides >= {"transducer", "target-ctc"}
    with torch.no_grad():
        translator.heads.captions.out.bias[BLANK] -= 4.0  # type: ignore[union-attr]  # so short a training is shy
    heard = offline.hear(translator.recogniser, sound(["one", "ten"]), 320)
    assert heard.tokens
    assert len(heard.words) <= len(heard.tokens)
    assert all(token.first == token.last < heard.frames for token in heard.tokens)


@pytest.mark.parametrize("name", ["transducer", "ctc-guided"])
def test_a_policy_gets_what_it_needs_and_a_session_survives_a_snapshot(headed: Path, name: str) -> None:
    translator = SpeechTranslator.load(headed / "model")
    models = Models(translator.recogniser, translator.pen)
    pcm = sound(["two", "six", "one"])
    whole = Session(models, make_policy(name))
    events = [*whole.push(pcm), *whole.finish()]
    first = Session(models, make_policy(name))
    early = first.push(pcm[:12_000])
    second = Session.restore(first.snapshot(), models)
    late = [*second.push(pcm[12_000:]), *second.finish()]
    words = [[w for e in run for w in getattr(e, "words", ())] for run in (events, [*early, *late])]
    assert words[0] == words[1]


def test_labels_of_the_lattice_stay_when_more_is_heard(headed: Path) -> None:
    translator = SpeechTranslator.load(headed / "model")
    with torch.no_grad():
        translator.heads.captions.out.bias[BLANK] -= 4.0  # type: ignore[union-attr]  # else the segment is quiet
    pcm, state, before = sound(["two", "six", "one", "ten"]), translator.recogniser.init_state(), []
    for start in range(0, len(pcm) - 2_559, 2_560):
        (state,) = translator.recogniser.hear_all([Hear(pcm[start : start + 2_560], state)])
        emitted = translator.heads.lattice(state.heads, state.frames, blank_penalty=5.0)
        now = [(e.label, e.frame) for e in emitted]
        assert now[: len(before)] == before
        before = now
    assert before


def test_taed_learns_when_to_say_and_serves_its_policy(workshop: Path) -> None:
    text = f'pairs = ["{workshop}/pairs.tsv"]\nvalidation = "{workshop}/pairs.tsv"\nbatch_tokens = 500\n'
    body = f"""kind = "taed"\noutput = "{workshop}/taed"\nbase = "{workshop}/base"
[model]\njoiner = 16\n[data]\n{text}validation_count = 10\n[loss]\nfreeze_writer = false\n"""
    (workshop / "taed.toml").write_text(body + LOOP.replace("STEPS", "40"))
    figures = recipe.run(workshop / "taed.toml", "cpu")
    lines = [json.loads(line) for line in (workshop / "taed/log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.6 * losses[0]
    assert figures["average proportion"] < 0.95  # says before it has read everything
    assert figures["chrF"] > 30
    translator = SpeechTranslator.load(workshop / "taed/model")
    assert translator.pen.provides >= {"taed", "write-probability"}
    Session(Models(translator.recogniser, translator.pen), make_policy("taed")).push(np.zeros(8_000, np.float32))


def test_the_gate_s_lattice_is_the_search_s_probabilities(workshop: Path) -> None:
    loaded = SpeechTranslator.load(workshop / "base")
    config = {"base": str(workshop / "base"), "model": {"joiner": 8}, "loss": {"strides": [1], "delay_penalty": 0.0},
              "data": {"pairs": [str(workshop / "pairs.tsv")], "validation": str(workshop / "pairs.tsv")}}  # fmt: skip
    task = taed_task(config, "cpu")
    torch.nn.init.normal_(task.taed.out.weight)  # type: ignore[attr-defined]
    batch = next(task.batches(0))
    with torch.no_grad():
        loss, _ = task.loss(batch, 0)
        total, count = 0.0, 0
        for row in range(len(batch.source)):
            size, said = int((~batch.hidden[row]).sum()), batch.inputs[row][: int((batch.targets[row] >= 0).sum())]
            table = []
            for read in [*range(2, size), size]:
                memory = loaded.writer.memory(
                    batch.source[row : row + 1, :read], torch.zeros(1, read, dtype=torch.bool)
                )
                logits = task.taed.logits(  # type: ignore[attr-defined]
                    loaded.writer,
                    memory,
                    torch.zeros(1, read, dtype=torch.bool),
                    said[None],
                    torch.tensor([read < size]),
                    batch.source[row : row + 1, :read],
                )
                table.append(logits[0].log_softmax(-1))
            alpha = torch.full((len(table), len(said)), -torch.inf)  # the textbook recursion
            for t in range(len(table)):
                for u in range(len(said)):
                    ways = [torch.tensor(0.0)] if t == u == 0 else []
                    ways += [alpha[t - 1, u] + table[t - 1][u, Tokenizer.end]] if t else []
                    ways += [alpha[t, u - 1] + table[t][u - 1, said[u]]] if u else []
                    alpha[t, u] = torch.stack(ways).logsumexp(0)
            total -= float(alpha[-1, -1] + table[-1][-1, Tokenizer.end])
            count += len(said)
            if row == 5:
                break
        few = type(batch)(*(x[:6] for x in (batch.source, batch.hidden, batch.inputs, batch.targets)))
        loss, _ = task.loss(few, 0)
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


def test_a_recipe_without_heads_or_base_is_an_error_that_names_them(workshop: Path) -> None:
    (workshop / "none.toml").write_text(f'kind = "heads"\noutput = "{workshop}/x"\nbase = "{workshop}/base"\n')
    with pytest.raises(ConfigError, match="captions, draft, transducer"):
        recipe.run(workshop / "none.toml", "cpu")
    (workshop / "none.toml").write_text(f'kind = "taed"\noutput = "{workshop}/x"\nbase = "{workshop}/nowhere"\n')
    with pytest.raises(ConfigError, match="nowhere"):
        recipe.run(workshop / "none.toml", "cpu")
