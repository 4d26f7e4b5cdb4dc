"""torchaudio and encodec, with which ours are compared.

torchaudio's wheels are linked to CUDA's libraries: with a torch for the CPU alone they are installed and do not load.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest


def loaded() -> ModuleType | None:
    """torchaudio; None where it is not installed or does not load."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module("torchaudio")
    except (ImportError, OSError):
        return None


def torchaudio() -> Any:
    """torchaudio, or the test is left out."""
    found = loaded()
    if found is None:
        pytest.skip("no torchaudio that loads: its wheels need a torch for CUDA")
    return found


def encodec(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's module `encodec.model`, which needs torchaudio for reading files only."""
    if loaded() is None:
        monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("encodec.model")
