"""`streamst serve --config FILE`: one TOML file with every setting of the service; what a flag says goes before it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from streamst.config import from_dict
from streamst.errors import ConfigError

from .options import ServerOptions

LogFormat = Literal["text", "json"]


@dataclass(frozen=True)
class ServeConfig(ServerOptions):
    """Everything that `streamst serve` can be told: the service's options, the model, and how it logs."""

    model: str = "en-de"  # a model's name or directory
    device: str = "auto"  # auto, cpu or cuda
    precision: str = "auto"  # float32, frozen, int8, onnx or auto
    recogniser: str | None = None  # who listens: "own", "whisper:DIR", ... (docs/backends.md); without it the model's
    writer: str | None = None  # who translates: "own", "ct2:DIR"
    voice: str | None = None  # who speaks: "own", "espeak-ng", "piper:FILE", ...
    source: str | None = None  # the language that is spoken, for parts of several
    target: str | None = None  # the language that is written, likewise
    tls_self_signed: bool = False  # make a certificate
    log_format: LogFormat = "text"
    verbose: bool = False  # log every session; log_format json does, always


def read_config(path: Path | None, flags: Mapping[str, Any] | None = None) -> ServeConfig:
    """The file's settings, `flags` before them; ConfigError names what is wrong in the file and what is allowed."""
    return from_dict(ServeConfig, read_given(path, flags), "the command line" if path is None else str(path))


def read_given(path: Path | None, flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is set at all, as `read_config` reads it; ConfigError for what is no file of settings."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is no TOML file: {error}") from error
    return {**values, **(flags or {})}
