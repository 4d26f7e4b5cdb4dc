"""The doctor's findings: what is asked of the machine is checked against another way of asking."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from streamst import checkpoint, doctor, inventory
from streamst.cli import main


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package's assets with one small model, and an empty cache."""
    root = tmp_path / "assets"
    checkpoint.save(root / "codec", "codec", {}, nn.Linear(2, 2))
    (root / "codec" / "card.md").write_text("# Codec\n\n- **Quality:** for tests only\n", encoding="utf-8")
    monkeypatch.setattr(inventory, "ASSETS", root)
    monkeypatch.setenv("STREAMST_CACHE", str(tmp_path / "cache"))
    return root


def finding(name: str) -> doctor.Finding:
    (found,) = (each for each in doctor.examine(trial=False) if each.name == name)
    return found


def test_a_good_model_is_found_with_its_hash(assets: Path) -> None:
    (model,) = inventory.models(check_hashes=True)
    assert (model.name, model.origin, model.kind, model.trouble) == ("codec", "package", "codec", "")
    assert model.sha256 == checkpoint.file_sha256(assets / "codec" / checkpoint.WEIGHTS)
    assert model.size_bytes == sum(file.stat().st_size for file in (assets / "codec").iterdir())
    assert model.quality == "for tests only"
    assert finding("Model codec").state == "works"


def test_weights_with_one_changed_bit_are_broken_and_the_mending_is_told(assets: Path) -> None:
    weights = assets / "codec" / checkpoint.WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    found = finding("Model codec")
    assert found.state == "broken"
    assert "its configuration says" in found.detail
    assert "reinstall" in found.mend


@pytest.mark.parametrize(("name", "told"), [("weights.safetensors", "does not exist"), ("config.json", "none in")])
def test_a_missing_file_is_broken(assets: Path, name: str, told: str) -> None:
    (assets / "codec" / name).unlink()
    broken = [each for each in doctor.examine(trial=False) if each.state == "broken"]
    assert len(broken) == 1
    assert told in broken[0].detail


def test_a_damaged_model_in_the_cache_does_not_stop_anybody(assets: Path, tmp_path: Path) -> None:
    shutil.copytree(assets / "codec", tmp_path / "cache" / "own")
    (tmp_path / "cache" / "own" / "config.json").write_text("{")
    found = finding("Model own")
    assert found.state == "absent"
    assert "config.json cannot be read" in found.detail


def test_no_models_at_all_is_broken_and_ends_with_code_1(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(assets / "codec")
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--no-trial"])
    assert ended.value.code == 1
    assert "Broken: Models" in capsys.readouterr().out


@pytest.mark.usefixtures("assets")
def test_a_machine_where_everything_needed_works_ends_with_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--no-trial", "--json"])
    assert ended.value.code == 0
    told = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert torch.__version__ in told["PyTorch"]["detail"]
    assert all(each["mend"] for each in told.values() if each["state"] == "broken")


@pytest.mark.usefixtures("assets")
@pytest.mark.usefixtures("assets")
def test_a_part_says_what_to_install_or_that_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("--recogniser whisper:DIR").state == "works"
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    found = finding("--recogniser whisper:DIR")
    assert (found.state, found.mend) == ("absent", "pip install 'streamst[whisper]'")
    assert found.detail.startswith("ctranslate2 is not installed; a Whisper model")


@pytest.mark.parametrize("program", [program[0] for program in doctor.PROGRAMS])
def test_an_optional_program_that_is_missing_is_absent_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setenv("PATH", "")
    found = finding(program)
    assert (found.state, found.mend) == ("absent", f"apt install {program}")


@pytest.mark.usefixtures("assets")
def test_an_optional_program_that_is_there_is_asked_for_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "flite"
    script.write_text("#!/bin/sh\necho version 9 of it\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert finding("flite").detail.startswith("version 9 of it")


def test_free_memory_is_what_can_be_allocated() -> None:
    free = doctor.available_memory_bytes()
    assert free is not None
    assert free > 64 << 20
    assert np.ones(16 << 20, np.uint8).sum() == 16 << 20


def test_the_trial_reports_weights_that_do_not_load(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamst.model_file.ASSETS", assets)
    (found,) = (each for each in doctor.examine() if each.name == "Translation")
    assert found.state == "broken"
    assert "does not exist" in found.detail
