"""The entropy coder: exact round trips, bits that follow the model, damage, the shipped weights."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamst.codecs.bitstream import CODED_VERSION, VERSION, Packet, pack, packet_bytes, spans, unpack, unpack_all
from streamst.codecs.entropy import EntropyModel
from streamst.errors import CheckpointError, InputError
from streamst.train.entropy import EntropyNet, train


def chain(length: int, seed: int = 0) -> np.ndarray:
    """Codes (length, 2) of which the second follows from the first, and the first mostly from the one before."""
    rng = np.random.default_rng(seed)
    first = np.zeros(length, np.int64)
    for t in range(1, length):
        first[t] = (first[t - 1] + rng.integers(0, 2)) % 16
    return np.stack([first, (first * 5 + 3) % 16], 1)


@pytest.fixture(scope="module")
def net() -> EntropyNet:
    return train([torch.from_numpy(chain(3000))], 16, steps=300, rows=128, rate=2e-2)


@pytest.fixture(scope="module")
def model(net: EntropyNet) -> EntropyModel:
    return net.export()


@settings(max_examples=40, deadline=None)
@given(codes=hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 2)), elements=st.integers(0, 15)))
def test_any_codes_round_trip_however_unlikely(model: EntropyModel, codes: np.ndarray) -> None:
    assert np.array_equal(model.decode(model.encode(codes), *codes.shape), codes)


def test_the_bits_spent_are_those_that_the_trained_network_promises(net: EntropyNet, model: EntropyModel) -> None:
    codes = chain(400, seed=1)
    pairs = torch.from_numpy(np.stack([codes[:-1], codes[1:]], 1))
    with torch.no_grad():
        nats = float(net(pairs, torch.zeros(len(pairs), dtype=torch.bool)).sum())
    spent = 8 * len(model.encode(codes))
    assert abs(spent - nats / np.log(2)) < 0.02 * spent + 16
    assert spent < 0.25 * 400 * 2 * 4  # a bit and a little a frame, of 8


def test_packets_use_the_shorter_form_and_say_which(model: EntropyModel) -> None:
    likely, unlikely = chain(60), np.random.default_rng(0).integers(0, 16, (1, 1))
    coded, plain = pack(Packet(likely, 7), model), pack(Packet(unlikely), model)
    assert (coded[1], plain[1]) == (CODED_VERSION, VERSION)
    assert len(coded) < 0.5 * packet_bytes(60, 2)
    both = unpack_all(coded + plain + coded, model)
    assert np.array_equal(both[0].codes, likely)
    assert both[0].first_frame == 7
    assert np.array_equal(both[1].codes, unlikely)
    assert [frames for _, _, frames in spans(coded + plain)] == [60, 1]


def test_a_coded_packet_needs_its_model(model: EntropyModel) -> None:
    data = pack(Packet(chain(60)), model)
    with pytest.raises(InputError, match="this decoder has none"):
        unpack(data)
    with pytest.raises(InputError, match=f"entropy model {model.number}; this decoder has number"):
        unpack(data, EntropyModel(model.weights, (model.number + 1) % 256))


def test_damage_is_an_input_error(model: EntropyModel) -> None:
    good = pack(Packet(chain(60)), model)
    for at in range(len(good)):
        for bad in (good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :], good[:at]):
            if bad:
                with pytest.raises(InputError):
                    unpack(bad, model)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=40))
def test_arbitrary_payloads_give_codes_of_the_codebook_or_are_refused(model: EntropyModel, data: bytes) -> None:
    with contextlib.suppress(InputError):
        codes = model.decode(data, 5, 2)
        assert codes.shape == (5, 2)
        assert codes.min() >= 0
        assert codes.max() < 16


def test_more_codebooks_than_the_model_has_are_refused(model: EntropyModel) -> None:
    with pytest.raises(InputError, match="3 codebooks; this entropy model has 2"):
        model.encode(np.zeros((1, 3), np.int64))


def test_saved_weights_load_and_spend_the_same_bytes(model: EntropyModel, tmp_path: Path) -> None:
    model.save(tmp_path / "entropy.safetensors")
    loaded = EntropyModel.load(tmp_path / "entropy.safetensors")
    assert loaded.number == model.number
    assert loaded.encode(chain(100)) == model.encode(chain(100))
    (tmp_path / "entropy.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not an entropy model"):
        EntropyModel.load(tmp_path / "entropy.safetensors")
