"""Packets of the neural codec: exact round trips, and a clear error for everything else."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamst.codecs.bitstream import MAX_CODEBOOKS, Packet, pack, packet_bytes, unpack, unpack_all
from streamst.errors import InputError

shapes = st.tuples(st.integers(1, 40), st.integers(1, MAX_CODEBOOKS))
codes = shapes.flatmap(lambda shape: hnp.arrays(np.int64, shape, elements=st.integers(0, 1023)))


@given(codes, st.integers(0, 70_000))
def test_packing_round_trips(values: np.ndarray, first: int) -> None:
    data = pack(Packet(values, first))
    assert len(data) == packet_bytes(*values.shape)
    packet = unpack(data)
    assert np.array_equal(packet.codes, values)
    assert packet.first_frame == first % 65_536


def test_the_layout_on_the_wire_is_the_documented_one() -> None:
    body = bytes([0xC5, 1, 2, 1, 0, 5, 0]) + int("1000000001" + "0000000011" + "0000", 2).to_bytes(3, "big")
    assert pack(Packet(np.array([[513, 3]]), 5)) == body + struct.pack("<I", zlib.crc32(body))


@given(st.lists(codes, max_size=4))
def test_packets_in_a_row_are_read_back_one_by_one(many: list[np.ndarray]) -> None:
    packets = unpack_all(b"".join(pack(Packet(values, number)) for number, values in enumerate(many)))
    assert [p.first_frame for p in packets] == list(range(len(many)))
    assert all(np.array_equal(p.codes, values) for p, values in zip(packets, many, strict=True))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError):
        unpack(data)


@given(codes, st.data())
def test_any_flipped_bit_or_lost_or_added_byte_is_noticed(values: np.ndarray, data: st.DataObject) -> None:
    good = pack(Packet(values))
    position = data.draw(st.integers(0, len(good) - 1))
    flipped = bytearray(good)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    for bad in (bytes(flipped), good[:position], good[:position] + good[position + 1 :], good + b"\0"):
        with pytest.raises(InputError):
            unpack(bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: 0x52}, "starts with 0x52, not 0xC5"),
        ({1: 9}, "version 9; this decoder reads version 1"),
        ({2: 0}, "1 frames of 0 codebooks"),
        ({2: 33}, "1 frames of 33 codebooks"),
        ({3: 2}, "2 frames of 3 codebooks take 19"),
        ({8: 0xFF}, "check sum"),
    ],
)
def test_the_error_says_what_is_wrong(change: dict[int, int], message: str) -> None:
    data = bytearray(pack(Packet(np.array([[1, 2, 3]]))))
    for position, value in change.items():
        data[position] = value
    with pytest.raises(InputError, match=message):
        unpack(bytes(data))


@pytest.mark.parametrize(
    "values",
    [np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((1, 33)), np.zeros((4097, 1)), np.zeros(3), [[1024]], [[-1]]],
    ids=["no frames", "no codebooks", "too many codebooks", "too many frames", "flat", "too large", "negative"],
)
def test_what_has_no_place_in_a_packet_is_refused(values: object) -> None:
    with pytest.raises(InputError):
        pack(Packet(np.asarray(values, np.int64)))
