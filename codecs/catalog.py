"""Codecs by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamst
from streamst.codecs.base import Codec
from streamst.errors import InputError

ASSETS = Path(streamst.__file__).parent / "assets"


def _pcm16() -> Codec:
    from streamst.codecs.pcm import PcmCodec

    return PcmCodec()


def _opus() -> Codec:
    from streamst.codecs.opus import OpusCodec

    return OpusCodec()


def _neural(coded: bool = False) -> Codec:
    from streamst.codecs.neural_stream import NeuralSpeechCodec

    return NeuralSpeechCodec.load(ASSETS / "codec", sends_coded=coded)


def _encodec() -> Codec:
    from streamst.codecs.encodec_stream import EncodecSpeechCodec

    return EncodecSpeechCodec.load()


CODECS: dict[str, Callable[[], Codec]] = {"neural": _neural, "opus": _opus, "encodec": _encodec, "pcm16": _pcm16}


def open_codec(name: str, coded: bool = False) -> Codec:
    """The codec `name` with its shipped or published weights; InputError names the allowed.

    coded: its packets are to be entropy coded, which only the neural codec can.
    UnavailableError where what it needs is not installed.
    """
    if name not in CODECS:
        raise InputError(f"codec {name!r} is not known; allowed: {', '.join(CODECS)}")
    if coded and name != "neural":
        raise InputError(f"codec {name!r} has no entropy coding; allowed: neural")
    return _neural(coded=True) if coded else CODECS[name]()
