"""How much of the speech a codec keeps: SI-SDR (own), PESQ and STOI (the `pesq` and `pystoi` packages, if installed).

Both signals are mono, aligned (no codec delay between them) and of the same length; see `streamst.codecs` for delays.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from streamst.errors import InputError, UnavailableError

from .result import Metric, signature

SI_SDR_CAP_DB = 100.0
PESQ_LONGEST_S = 20  # P.862's own program has room for 50 utterances; the package crashes beyond them
NAMES = {"SI-SDR": "dB", "PESQ": "MOS-LQO", "STOI": "ratio", "ESTOI": "ratio"}
PACKAGES = {"PESQ": "pesq", "STOI": "pystoi", "ESTOI": "pystoi"}  # that compute them

Signal = NDArray[np.float32] | NDArray[np.float64]


def si_sdr_db(reference: Signal, decoded: Signal) -> float | None:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019) [dB], means removed, within +-100 dB.

    None for a silent (constant) reference.
    """
    x, y = _pair(reference, decoded)
    x, y = x - x.mean(), y - y.mean()
    power = float(x @ x)
    if power == 0.0:
        return None
    target = (float(y @ x) / power) * x
    kept, lost = float(target @ target), float(np.sum((y - target) ** 2))
    if kept == 0.0:
        return -SI_SDR_CAP_DB
    ratio_db = 10.0 * math.log10(kept / lost) if lost else math.inf
    return max(-SI_SDR_CAP_DB, min(SI_SDR_CAP_DB, ratio_db))


def pesq_mos(reference: Signal, decoded: Signal, sample_rate_hz: int = 16_000) -> float | None:
    """PESQ, P.862.2 wide band at 16 kHz, P.862 narrow band at 8 kHz [MOS-LQO, 1.0 to 4.6].

    Of a long recording the mean over equal parts of at most PESQ_LONGEST_S. None when the reference has no speech, or
    lasts less than a quarter of a second. Raises InputError at another rate, UnavailableError without `pesq`.
    """
    if sample_rate_hz not in (8_000, 16_000):
        raise InputError(f"PESQ is defined at 8000 and 16000 Hz, not at {sample_rate_hz} Hz: resample both signals")
    x, y = _pair(reference, decoded)
    pesq = _package("pesq")
    band = "wb" if sample_rate_hz == 16_000 else "nb"
    found: list[float] = []
    parts = -(-len(x) // (PESQ_LONGEST_S * sample_rate_hz))
    for one, other in zip(np.array_split(x, parts), np.array_split(y, parts), strict=True):
        if not np.any(one):
            continue
        try:
            found.append(float(pesq.pesq(sample_rate_hz, one, other, band)))
        except (pesq.NoUtterancesError, pesq.BufferTooShortError):
            continue
        except pesq.PesqError as error:
            raise InputError(f"PESQ could not be computed: {error}") from error
    return math.fsum(found) / len(found) if found else None


def stoi(reference: Signal, decoded: Signal, sample_rate_hz: int = 16_000, *, extended: bool = False) -> float | None:
    """Short-time objective intelligibility (Taal et al. 2011), or ESTOI (Jensen and Taal 2016); 1 is intact.

    None for a silent reference and for less than 0.4 s of speech. Raises UnavailableError without `pystoi`.
    """
    x, y = _pair(reference, decoded)
    package = _package("pystoi")
    if not np.any(x):
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = float(package.stoi(x, y, sample_rate_hz, extended=extended))
    return None if caught or not math.isfinite(value) else value


def corpus(name: str, pairs: Sequence[tuple[Signal, Signal]], sample_rate_hz: int = 16_000) -> Metric | None:
    """The mean of "SI-SDR", "PESQ", "STOI" or "ESTOI" over (reference, decoded) pairs that have one; None when none."""
    if name not in NAMES:
        raise InputError(f"unknown codec metric {name!r}; allowed: {', '.join(NAMES)}")
    compute: Callable[[Signal, Signal], float | None] = {
        "SI-SDR": si_sdr_db,
        "PESQ": lambda x, y: pesq_mos(x, y, sample_rate_hz),
        "STOI": lambda x, y: stoi(x, y, sample_rate_hz),
        "ESTOI": lambda x, y: stoi(x, y, sample_rate_hz, extended=True),
    }[name]
    values = [compute(x, y) for x, y in pairs]
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    fields: dict[str, object] = {"rate": f"{sample_rate_hz}Hz"}
    package = PACKAGES.get(name)
    if package:
        fields[package] = metadata.version(package)
    if name == "PESQ":
        fields["band"] = "wide" if sample_rate_hz == 16_000 else "narrow"
    fields |= {"n": len(values), "undefined": len(values) - len(defined)}
    return Metric(math.fsum(defined) / len(defined), NAMES[name], signature(fields))


def missing(names: Iterable[str]) -> dict[str, str]:
    """Those of `names` that cannot be computed here, each with the package that would."""
    return {name: PACKAGES[name] for name in names if name in PACKAGES and find_spec(PACKAGES[name]) is None}


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise UnavailableError(f"{name} is not installed; get it with: pip install {name}") from error


def _pair(reference: Signal, decoded: Signal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = (np.asarray(signal, dtype=np.float64) for signal in (reference, decoded))
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise InputError(f"signals of shape {x.shape} and {y.shape}: two mono signals of one length are needed")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("a signal holds NaN or infinite samples")
    return x, y
