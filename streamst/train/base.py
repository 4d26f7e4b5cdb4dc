"""A finished translator as the start of more training, and as its outcome."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.errors import ConfigError
from streamst.model_file import FILE, ModelFile, kind_of, read_model
from streamst.models.translator import SPEECH, WORDS, SpeechTranslator, TranslatorConfig


def base_translator(recipe: dict[str, object], device: str) -> SpeechTranslator:
    """The finished translator that `base` of a recipe names; ConfigError when there is none."""
    path = Path(str(recipe.get("base", "")))
    if not (path / checkpoint.CONFIG).exists():
        raise ConfigError(f"base = {str(path)!r} is not an exported translator")
    return SpeechTranslator.load(path, device)


def save(translator: SpeechTranslator, directory: Path) -> None:
    """Write `translator` with its tokenizers as a model directory."""
    directory.mkdir(parents=True, exist_ok=True)
    sha256 = heard_sha256 = ""
    if translator.search is not None:
        translator.search.save(directory / WORDS)
        sha256 = checkpoint.file_sha256(directory / WORDS)
    if translator.evidence is not None:
        translator.evidence.save(directory / SPEECH)
        heard_sha256 = checkpoint.file_sha256(directory / SPEECH)
    config = replace(translator.config, words_sha256=sha256, speech_sha256=heard_sha256)
    checkpoint.save(directory, "translator", to_dict(config), translator.networks())
    for name, tokenizer in (("source", translator.source_tokenizer), ("target", translator.target_tokenizer)):
        (directory / f"{name}.model").write_bytes(tokenizer.model.read_bytes())


def check_parts(recipe: dict[str, Any]) -> None:
    """CheckpointError unless `parts` of a recipe, where it has one, is a model."""
    if "parts" in recipe:
        read_model(Path(str(recipe["parts"])))


def describe(directory: Path, recipe: dict[str, Any]) -> None:
    """Write `model.json` beside an exported translator: its other parts are those of the recipe's `base` or `parts`."""
    if kind_of(directory) == "translator":
        config = from_dict(TranslatorConfig, checkpoint.read_config(directory, "translator"))
        like = Path(str(recipe.get("parts") or recipe.get("base") or ""))
        if (like / FILE).is_file():
            read_model(like).moved(directory).write(directory)
        else:
            ModelFile(f"{config.source}-{config.targets[0]}", config.source, config.targets).write(directory)
