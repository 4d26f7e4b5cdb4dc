"""What a state as bytes leaves out comes back as it was, and what says otherwise is refused."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamst.audio import from_flac, to_flac
from streamst.errors import InputError
from streamst.nn.packing import from_bytes, to_bytes


@dataclass(frozen=True)
class Held:
    """A cache (B, H, T, D), samples, and numbers that are none."""

    cache: Tensor
    samples: NDArray[np.float32]
    numbers: Tensor


def held(rows: int = 20, dtype: torch.dtype = torch.float32) -> Held:
    cache = torch.zeros(1, 6, 250, 8, dtype=dtype)
    cache[:, :, 250 - rows :] = torch.randn(1, 6, rows, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    samples = (np.arange(-32_768, 32_768, 7) / 32_768).astype(np.float32)
    return Held(cache, samples, torch.linspace(-1, 1, 97))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("rows", [0, 1, 249, 250])
@pytest.mark.parametrize("known", [True, False])
def test_zeros_before_a_cache_and_samples_of_16_bits_come_back_bit_for_bit(
    rows: int, dtype: torch.dtype, known: bool
) -> None:
    one = held(rows, dtype)
    found = from_bytes(Held, to_bytes(one), held(5, dtype) if known else None)
    assert found.cache.dtype == dtype
    assert torch.equal(found.cache, one.cache)
    assert found.samples.dtype == np.float32
    assert np.array_equal(found.samples, one.samples)
    assert torch.equal(found.numbers, one.numbers)


def test_they_take_no_room() -> None:
    whole = held().cache.numel() * 4 + held().samples.nbytes
    assert len(to_bytes(held(20))) < 0.15 * whole


def test_samples_of_more_than_16_bits_stay_as_they_are() -> None:
    one = held()
    fine = Held(one.cache, one.samples + np.float32(1e-6), one.numbers)
    assert np.array_equal(from_bytes(Held, to_bytes(fine)).samples, fine.samples)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("cache", {"rows": 19}),
        ("cache", {"rows": 1 << 40}),
        ("cache", {"rows": "250"}),
        ("cache", {"rows": 250, "samples": 20}),
        ("samples", {"samples": 9362}),
        ("samples", {"samples": 9364}),
        ("samples", {"samples": 0}),
        ("samples", {"samples": 1 << 40}),
        ("samples", {"samples": True}),
        ("samples", {"rows": 9}),
        ("numbers", {"samples": 97}),
        ("numbers", {"length": 9}),
    ],
)
def test_what_leaves_out_too_much_is_refused(field: str, wrong: dict[str, object]) -> None:
    data = to_bytes(held())
    size = int.from_bytes(data[:8], "little")
    state = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["state"])
    state[field] = {"tensor": state[field]["tensor"], **wrong}
    forged = safetensors.torch.save(safetensors.torch.load(data), {"state": json.dumps(state)})
    with pytest.raises(InputError):
        from_bytes(Held, forged, held())


def test_other_flac_than_what_was_written_is_refused() -> None:
    samples = (1000 * np.sin(np.arange(500) / 9)).astype(np.int16)
    assert np.array_equal(from_flac(to_flac(samples), 500), samples)
    stereo = io.BytesIO()
    soundfile.write(stereo, np.stack([samples, samples], 1), 16_000, format="FLAC", subtype="PCM_16")
    fine = io.BytesIO()
    soundfile.write(fine, samples, 16_000, format="FLAC", subtype="PCM_24")
    for wrong in (b"", b"fLaC", to_flac(samples)[:60], stereo.getvalue(), fine.getvalue()):
        with pytest.raises(InputError):
            from_flac(wrong, 500)
