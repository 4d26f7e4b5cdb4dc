"""Samples of 16 bits as FLAC in memory: speech in half its bytes, and back to the last bit."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamst.errors import InputError

from .pcm import SAMPLE_RATE_HZ


def to_flac(samples: NDArray[np.int16]) -> bytes:
    """Of (samples,), one at least; the rate that the file tells means nothing."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def from_flac(data: bytes, count: int) -> NDArray[np.int16]:
    """The `count` samples that `to_flac` wrote; InputError where there are others, or none."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if (file.format, file.subtype, file.channels) != ("FLAC", "PCM_16", 1):
                raise InputError(f"{file.channels} channels of {file.format} {file.subtype} where FLAC is expected")
            found = np.asarray(file.read(count + 1, "int16"), np.int16)
    except soundfile.LibsndfileError as error:
        raise InputError(f"samples that cannot be read: {error}") from error
    if len(found) != count:
        raise InputError(f"{len(found)} samples where {count} are expected")
    return found
