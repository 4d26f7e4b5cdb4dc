"""The listener, the writer and their union really learn, from a recipe's files to a model that loads."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from streamst.errors import ConfigError
from streamst.models import offline
from streamst.models.translator import SpeechTranslator
from streamst.pipeline import load
from streamst.train import recipe
from streamst.train.cuts import ShardWriter, Utterance, merge_manifests
from streamst.train.translator import TranslatorTask
from streamst.train.translator import task as translator_task

pytestmark = pytest.mark.filterwarnings("ignore:.*DynamicBucketingSampler.*:UserWarning")

WORDS = {"one": (440, "eins"), "two": (880, "zwei"), "six": (1_760, "sechs"), "ten": (3_000, "zehn")}


@pytest.fixture(scope="module")
def workshop(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language of four words, each a tone: cuts, sentence pairs, and the recipes of all three trainings."""
    folder = tmp_path_factory.mktemp("workshop")
    rng = np.random.default_rng(0)
    sentences = [[str(w) for w in rng.choice(list(WORDS), int(rng.integers(1, 4)))] for _ in range(60)]
    with ShardWriter(folder / "shard") as writer:
        for number, words in enumerate(sentences):
            pieces, marks, at_s = [np.zeros(1_600)], [("pau", 0.1)], 0.1
            for word in words:
                pieces += [0.3 * np.sin(2 * np.pi * WORDS[word][0] * np.arange(4_800) / 16_000), np.zeros(2_400)]
                marks += [("aa", at_s + 0.3), ("pau", at_s + 0.45)]
                at_s += 0.45
            german = " ".join(WORDS[word][1] for word in words)
            audio = np.concatenate(pieces).astype(np.float32)
            phones = ["aa"] * len(words)
            writer.write(audio, Utterance(f"u{number}", " ".join(words), "tones", german, phones, marks))
    merge_manifests([folder / "shard"], folder / "cuts.jsonl.gz")
    pairs = {" ".join(words): " ".join(WORDS[word][1] for word in words) for words in sentences}
    (folder / "pairs.tsv").write_text("".join(f"{e}\t{g}\n" for e, g in pairs.items()))
    shared = """
[loop]
steps = STEPS
learning_rate = 3e-3
warmup_steps = 10
log_every = 5
"""
    encoder = "[model]\nsource_tokens = 24\n[model.encoder]\ndim = 32\nlayers = 2\nheads = 2\nmiddle = 1\n"
    listener = f"""kind = "listener"\noutput = "{folder}/listener"\ntext = "{folder}/pairs.tsv"\n{encoder}
[data]\ncuts = ["{folder}/cuts.jsonl.gz"]\nbatch_s = 30.0\nbuckets = 2
[validation]\ncuts = ["{folder}/cuts.jsonl.gz"]\ncount = 20\n"""
    text = f'pairs = ["{folder}/pairs.tsv"]\nvalidation = "{folder}/pairs.tsv"\nbatch_tokens = 600\n'
    writer_recipe = f"""kind = "writer"\noutput = "{folder}/writer"
[model]\nsource_tokens = 24\ntarget_tokens = 30\ndim = 32\nheads = 2\nmemory_layers = 1
decoder_layers = 2\ndropout = 0.0\n[data]\n{text}source_tokenizer = "{folder}/listener/source.model"\n"""
    union = f"""kind = "translator"\noutput = "{folder}/translator"\nparts = "{tiny_model}"
listener = "{folder}/listener/model"
writer = "{folder}/writer/model"\n[data]\ncuts = ["{folder}/cuts.jsonl.gz"]\nbatch_s = 20.0\nbuckets = 2\n[text]\n{text}
[join]\nvalidation_cuts = "{folder}/cuts.jsonl.gz"\nvalidation_count = 10\n"""
    for name, body, steps in (("listener", listener, 60), ("writer", writer_recipe, 60), ("translator", union, 10)):
        (folder / f"{name}.toml").write_text(body + shared.replace("STEPS", str(steps)))
    return folder


@pytest.mark.slow
def test_the_three_recipes_train_one_after_the_other_into_a_translator(workshop: Path) -> None:
    recipe.run(workshop / "listener.toml", "cpu")
    losses = [json.loads(line) for line in (workshop / "listener/log.jsonl").read_text().splitlines()]
    source = [line["source"] for line in losses if "source" in line]
    assert source[-1] < 0.7 * source[0]
    written = recipe.run(workshop / "writer.toml", "cpu")
    assert written["perplexity"] < 8  # of 30 tokens
    figures = recipe.run(workshop / "translator.toml", "cpu")
    assert figures["text BLEU"] > 0
    assert "speech chrF" in figures
    whole = load(str(workshop / "translator/model"), "cpu")  # with the voice of the model that `parts` names
    assert (whole.targets, whole.voice is None, whole.codec is None) == (("de",), False, False)
    translator = SpeechTranslator.load(workshop / "translator/model")
    state = offline.hear(translator.recogniser, np.zeros(16_000, np.float32), 320)
    assert state.frames == 19  # 1.48 s with the tail, in frames of 80 ms
    union = tomllib.loads((workshop / "translator.toml").read_text())
    joined = translator_task(union, "cpu")
    assert isinstance(joined, TranslatorTask)
    as_it_came = {english: joined.text.translated(joined.module, english) for english in ("one six", "ten")}
    assert all(as_it_came.values())
    with torch.no_grad():
        for weight in joined.module.parameters():
            weight.zero_()  # what it learns since does not change what it teaches
    assert {english: joined.translated(english) for english in as_it_came} == as_it_came
    union["join"] |= {"distil": False}
    alone = translator_task(union, "cpu")
    assert isinstance(alone, TranslatorTask)
    assert alone.translated("ten") == ""
    tuned(workshop)


def tuned(workshop: Path) -> None:
    """The listener of a finished translator learns on, and the rest stays as it was."""
    body = (workshop / "listener.toml").read_text()
    again = body[body.index("[data]") :].replace("steps = 60", "steps = 20")
    head = f'kind = "listener"\noutput = "{workshop}/tuned"\nbase = "{workshop}/'
    (workshop / "tuned.toml").write_text(f'{head}translator/model"\n{again}')
    union = (workshop / "translator.toml").read_text().replace("steps = 10", "steps = 0")
    (workshop / "joined.toml").write_text(union.replace(f"{workshop}/translator", f"{workshop}/joined"))
    recipe.run(workshop / "joined.toml", "cpu")
    (workshop / "tuned.toml").write_text(f'{head}joined/model"\n{again}')
    recipe.run(workshop / "tuned.toml", "cpu")
    before, after = (SpeechTranslator.load(workshop / name / "model") for name in ("joined", "tuned"))
    kept = [
        [torch.equal(*pair) for pair in zip(old.state_dict().values(), new.state_dict().values(), strict=True)]
        for old, new in ((before.writer, after.writer), (before.listener, after.listener))
    ]
    assert all(kept[0])
    assert not all(kept[1])
    assert after.source_tokenizer.encode("one six") == before.source_tokenizer.encode("one six")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "missing key 'text'.*or 'base'"),
        ({"base": "x", "text": "a.tsv"}, "with base, leave out text"),
        ({"base": "x", "model": {}}, "with base, leave out model"),
        ({"base": "x"}, "base = 'x' is not an exported translator"),
    ],
)
def test_a_listener_begins_from_a_text_or_from_a_translator(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in given.items() if value != {}]
    tables = [f"[{key}]\n" for key, value in given.items() if value == {}]
    path = tmp_path / "recipe.toml"
    path.write_text("".join(('kind = "listener"\n', f'output = "{tmp_path}/run"\n', *lines, *tables)))
    with pytest.raises(ConfigError, match=message):
        recipe.run(path, "cpu")
