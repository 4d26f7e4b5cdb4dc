"""Translation models of CTranslate2 as writers: the real library on tiny random weights."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import ct2_models
import numpy as np
import pytest

from streamst import Caption, load, read_blocks
from streamst.audio import Pcm
from streamst.backends.ct2 import Ct2Writer
from streamst.backends.ct2_model import languages_of
from streamst.backends.parts import Languages
from streamst.errors import CheckpointError, InputError, UnavailableError
from streamst.models.glossary import make_glossary
from streamst.models.seam import WORDS, HeardWord, Models, Write
from streamst.pipeline import Pipeline
from streamst.policies.base import Decoding, Hypothesis, Need, missing_needs
from streamst.policies.catalog import POLICIES
from streamst.session import Session, SessionOptions
from streamst.text import train_tokenizer

TEXTS = ("the cat is on", "we go to it", "a dog is in my box", "so be he", "no")
STATION = Path(__file__).parent / "data/station.flac"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ct2_models.marian(tmp_path_factory.mktemp("marian"), seed=4)


@pytest.fixture(scope="module")
def writer(folder: Path) -> Ct2Writer:
    return Ct2Writer(folder, "en", "de")


def asked(text: str, prefix: tuple[int, ...] = (), attention: bool = False) -> Write:
    """A segment whose words last ten frames each."""
    words = tuple(HeardWord(word, 10 * n, 10 * n + 9) for n, word in enumerate(text.split()))
    return Write(words, 10 * len(words), prefix, False, "de", Decoding(attention=attention))


def written(writer: Ct2Writer, *work: Write) -> list[Hypothesis]:
    found = writer.write_all(work)
    for one, hypothesis in zip(work, found, strict=True):
        assert len(hypothesis.log_probs) == len(hypothesis.alignment) == len(hypothesis.tokens)
        assert all(0 <= frame < one.frames for frame in hypothesis.alignment)
    return found


def test_what_follows_committed_words_is_the_rest_of_the_translation(writer: Ct2Writer) -> None:
    tried = 0
    for text in TEXTS:
        (whole,) = written(writer, asked(text))
        for n in whole.word_ends[:-1]:
            (rest,) = written(writer, asked(text, whole.tokens[:n]))
            assert rest.tokens == whole.tokens[n:]
            assert rest.finished == whole.finished
            assert rest.alignment == whole.alignment[n:]
            tried += 1
    assert tried > 5


def test_nothing_is_hung_on_a_committed_word(writer: Ct2Writer) -> None:
    inside = 0
    for text in TEXTS:
        (whole,) = written(writer, asked(text))
        for n in set(range(1, len(whole.tokens))) - set(whole.word_ends):
            prefix = whole.tokens[:n]
            (found,) = written(writer, asked(text, prefix))
            said, all_said = (writer.detokenize("de", tokens) for tokens in (prefix, prefix + found.tokens))
            assert all_said.split()[: len(said.split())] == said.split()
            inside += 1
    assert inside > 5


def test_sessions_in_one_batch_get_what_each_gets_alone(writer: Ct2Writer) -> None:
    (first,) = written(writer, asked(TEXTS[0]))
    work = [asked(text) for text in TEXTS] + [asked(TEXTS[0], first.tokens[: first.word_ends[0]]), asked("")]
    for together, one in zip(written(writer, *work), work, strict=True):
        (alone,) = written(writer, one)
        assert together.tokens == alone.tokens
        assert together.word_ends == alone.word_ends
        np.testing.assert_allclose(together.log_probs, alone.log_probs, atol=1e-4)
    assert written(writer, asked("")) == [Hypothesis((), finished=True)]


def test_log_probabilities_are_those_that_the_library_scores(writer: Ct2Writer) -> None:
    import ctranslate2

    model = writer._model
    for text in TEXTS[:2]:
        (found,) = written(writer, asked(text))
        source, _ = model.sentence([piece for word in text.split() for piece in model.spell(word)], "de")
        scorer: ctranslate2.Translator = model.run
        scored = scorer.score_batch([source], [[model.pieces[token] for token in found.tokens]])[0]
        np.testing.assert_allclose(found.log_probs, scored.log_probs[: len(found.tokens)], atol=0.05)  # 8 bits


def test_attention_lies_on_the_frames_of_words_and_says_where_a_token_was_read(writer: Ct2Writer) -> None:
    (found,) = written(writer, asked(TEXTS[0], attention=True))
    rows = np.array(found.attention)
    assert rows.shape == (len(found.tokens), 40)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    assert len({int(row.argmax()) // 10 for row in rows}) > 1
    assert set(found.alignment) <= {9, 19, 29, 39}
    (silent,) = written(writer, asked(TEXTS[0]))
    assert silent.attention == ()


def test_a_language_among_many_is_named_to_the_model_and_never_written(tmp_path: Path) -> None:
    for name, marks in (("nllb", ("eng_Latn", "deu_Latn", "fra_Latn")), ("m2m", ("__en__", "__de__", "__fr__"))):
        folder = ct2_models.many_languages(tmp_path / name, marks)
        both = Ct2Writer(folder, "en")
        assert both.targets == ("de", "fr")
        assert languages_of(folder) == Languages(("de", "en", "fr"), ("de", "en", "fr"))
        assert both._model.sentence(["x"], "fr") == ([marks[0], "x", "</s>"], 1)
        assert both._model.prefixes == {"de": [marks[1]], "fr": [marks[2]]}
        (found,) = written(both, asked(TEXTS[0], attention=True))
        assert not set(marks) & set(both.detokenize("de", found.tokens).split())
        with pytest.raises(InputError, match=r"does not know the language 'es'"):
            Ct2Writer(folder, "en", "es")
    to_many = ct2_models.marian(tmp_path / "many", pair=None, marks=(">>deu<<", ">>fra<<"))
    assert Ct2Writer(to_many, "en", "de")._model.sentence(["x"], "de") == ([">>deu<<", "x"], 1)


def policies() -> list[str]:
    provided: frozenset[Need] = Ct2Writer.provides | WORDS
    return [name for name, policy in POLICIES.items() if not missing_needs(policy(), provided)]


def test_it_is_chosen_by_name_for_the_pair_that_is_wanted(folder: Path, tmp_path: Path) -> None:
    pipeline = load(writer=f"ct2:{folder}", target="de")
    assert pipeline.targets == ("de",)
    session = pipeline.session(policy="wait-k", speech=False)
    assert [event for block in read_blocks(STATION) for event in session.push(block)]
    with pytest.raises(CheckpointError, match=r"model\.bin is missing"):
        load(writer=f"ct2:{tmp_path}")


@pytest.fixture(scope="module")
def heard() -> Pipeline:
    return load()


@pytest.mark.parametrize("policy", policies())
def test_a_session_with_each_policy_keeps_what_it_committed(heard: Pipeline, writer: Ct2Writer, policy: str) -> None:
    models = Models(heard.recogniser, writer)
    session = Session(models, POLICIES[policy](), SessionOptions("de", 640, speech=False))
    speech: Pcm = np.concatenate(list(read_blocks(STATION)))
    events = session.push(speech[:24_000])
    session = Session.restore(session.snapshot(), models)
    events += [*session.push(speech[24_000:]), *session.finish()]
    shown: dict[int, str] = {}
    for event in events:
        if isinstance(event, Caption) and event.lang == "de":
            assert event.stable.startswith(shown.get(event.segment, ""))
            shown[event.segment] = event.stable
    assert any(shown.values())


def test_the_policies_of_text_and_of_attention_are_among_them() -> None:
    assert {"wait-k", "local-agreement", "alignatt", "streamatt", "edatt", "confidence"} <= set(policies())


@pytest.mark.parametrize("name", ["model.bin", "config.json", "source.spm", "shared_vocabulary.json"])
def test_the_file_that_a_folder_lacks_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{tmp_path} is not a translation model.*{name}.* is missing"):
        Ct2Writer(tmp_path)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "source.spm", "shared_vocabulary.json"])
def test_a_file_of_something_else_is_refused_in_a_line(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).write_text('{"something": "else"}')
    told = r"^[^\n]* is not a translation model in CTranslate2's format: [^\n]+$"
    with pytest.raises(CheckpointError, match=told):
        Ct2Writer(tmp_path)
    if name != "model.bin":  # which is read last, once all parts are known to fit
        with pytest.raises(CheckpointError, match=told):
            languages_of(tmp_path)


def test_a_folder_that_is_no_model_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder"):
        Ct2Writer(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"model\.bin is missing"):
        Ct2Writer(tmp_path)


def test_a_vocabulary_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    train_tokenizer(["мы идём домой и там живёт собака", "кот сидит на столе"], 50, tmp_path / "source.spm")
    with pytest.raises(CheckpointError, match=r"source\.spm does not fit the model: \d+ of its 50 pieces"):
        languages_of(tmp_path)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    vocabulary = tmp_path / "shared_vocabulary.json"
    vocabulary.write_text(json.dumps(json.loads(vocabulary.read_text(encoding="utf-8"))[:-5]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"does not fit the model: \d+ pieces, needed: \d+"):
        Ct2Writer(tmp_path)


def test_a_model_of_another_pair_is_refused_where_its_folder_names_the_pair(tmp_path: Path) -> None:
    other = ct2_models.marian(tmp_path / "fr", pair=("en", "fr"))
    with pytest.raises(InputError, match="translates 'en' to 'fr'; needed: 'en' to 'de'"):
        Ct2Writer(other, "en", "de")
    with pytest.raises(InputError, match="translates 'en' to 'fr'; needed: 'es' to 'fr'"):
        Ct2Writer(other, "es", "fr")
    assert Ct2Writer(other, "en").targets == ("fr",)
    assert languages_of(other) == Languages(("en",), ("fr",))
    long = ct2_models.marian(tmp_path / "deu", pair=("eng", "deu"))
    assert Ct2Writer(long, "en").targets == ("de",)
    with pytest.raises(InputError, match=r"does not say what it translates to: tokenizer_config\.json is missing"):
        Ct2Writer(ct2_models.marian(tmp_path / "unnamed", pair=None), "en")
    (other / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json is no settings of a tokenizer"):
        Ct2Writer(other, "en", "de")


def test_a_glossary_is_refused_and_none_is_none(writer: Ct2Writer) -> None:
    assert writer.terms(make_glossary(())) is None
    with pytest.raises(InputError, match="knows no glossary"):
        writer.terms(make_glossary({"cat": "Katze"}))


def test_the_extra_that_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UnavailableError, match=r"ctranslate2 is not installed.*streamst\[ct2\]"):
        Ct2Writer(folder)
