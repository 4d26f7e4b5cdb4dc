"""What `model.json` may say, and what is refused in a line that names the value, the file and what is allowed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamst.errors import CheckpointError, InputError
from streamst.inventory import ASSETS
from streamst.model_file import FILE, SHIPPED, Defaults, ModelFile, model_named, read_model


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A model whose weights are none, so that nothing can be loaded from it."""
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    for weights in copy.glob("*/weights.safetensors"):
        weights.write_bytes(b"not read")
    return copy


def said(folder: Path, **changes: Any) -> None:
    values: Mapping[str, Any] = json.loads((folder / FILE).read_text()) | changes
    (folder / FILE).write_text(json.dumps(values))


def test_what_is_written_is_read(folder: Path) -> None:
    file = ModelFile(
        "x", "en", ("de", "fr"), {"own": "translator", "b": "translator"}, {"own": "translator"},
        {"de": "voice-de"}, "codec", defaults=Defaults("b", "own", "espeak-ng", "high"),
    )  # fmt: skip
    file.write(folder)
    assert read_model(folder).file == file
    assert set(read_model(folder).parts()) == {"recognisers.own", "recognisers.b", "writers.own", "voices.de", "codec"}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_models_are_whole_and_are_called_what_their_files_say(name: str) -> None:
    model = model_named(name)
    assert model.file.name == name
    assert {path.parent for path in model.parts().values()} == {ASSETS}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, r"model.json: format 2 is not possible; allowed: 1"),
        ({"colour": "red"}, r"model.json: unknown key 'colour'; allowed: codec, "),
        ({"targets": []}, r"model.json: targets is empty; needed: a language such as 'de'"),
        ({"targets": "de"}, r"model.json.targets: 'de' \(str\) is not"),
        ({"recognisers": {"ear": "translator"}}, r"model.json: recognisers has ear; needed: own"),
        ({"defaults": {"recogniser": "eye"}}, r"model.json: defaults.recogniser is 'eye'; allowed: own"),
        ({"voices": {"fr": "voice-de"}}, r"model.json: voices.fr speaks what is not written; allowed: de"),
        ({"voices": {"de": "voice-xx"}}, r"model.json: voices.de is .*voice-xx, which is no folder with config.json"),
        ({"voices": {"de": "codec"}}, r"voices.de is .*codec, which is of kind 'codec'; allowed: kind voice"),
        (
            {"writers": {"own": "codec"}},
            r"writers.own is .*codec, which is of kind 'codec'; allowed: kind translator or",
        ),
        ({"writers": {}}, "writers has nothing; needed: own"),
        ({"defaults": {"writer": "b"}}, "defaults.writer is 'b'; allowed: own"),
        ({"codec": None}, r"model.json: voices need the codec"),
        ({"dial": "dial.json"}, r"model.json: dial is 'dial.json', and .*dial.json is missing"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_a_line(folder: Path, changes: dict[str, Any], told: str) -> None:
    said(folder, **changes)
    with pytest.raises(CheckpointError, match=told) as refused:
        read_model(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("[1]", r"holds \[1\]; allowed: an object"), ("{", "cannot be read"), ("\udcff", "cannot be read")],
)
def test_what_is_no_json_object_is_refused(folder: Path, text: str, told: str) -> None:
    (folder / FILE).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=f"model.json {told}"):
        read_model(folder)


def test_a_folder_without_the_file_and_a_name_that_is_none_are_told_apart(folder: Path) -> None:
    (folder / FILE).unlink()
    with pytest.raises(CheckpointError, match=r"is no model: model.json is missing; `streamst train` writes it"):
        model_named(str(folder))
    with pytest.raises(InputError, match=r"model 'xx-yy' is not known; allowed: en-de, or a folder with model.json"):
        model_named("xx-yy")


def test_a_model_trained_on_from_another_keeps_its_other_parts_and_not_its_dial(folder: Path, tmp_path: Path) -> None:
    shutil.copy(ASSETS / "translator" / "dial.json", folder)
    said(folder, dial="dial.json", recognisers={"own": "translator", "loud": "translator"})
    moved = read_model(folder).moved(tmp_path / "runs" / "new")
    assert moved.dial is None
    assert moved.voices == {"de": "../../model/voice-de"}
    assert moved.codec == "../../model/codec"
