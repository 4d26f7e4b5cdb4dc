"""Bad networks: lost, reordered, duplicated and damaged packets, and the rate that follows the send queue."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.audio import Pcm
from streamst.codecs.bitstream import Packet, pack, unpack
from streamst.codecs.opus import OpusCodec
from streamst.codecs.rate import Rate, RateFollower, RateRule, RoundTrips, adapted
from streamst.codecs.receive import LONGEST_GAP_FRAMES, PacketReceiver, first_frame_of
from streamst.errors import ConfigError, InputError

HOP = 4


class Numbers:
    """A decoder whose sound is the packets' codes: HOP samples a frame, -1 where it conceals."""

    def __init__(self, next_frame: int = 0) -> None:
        self.next_frame = next_frame

    def push(self, packet: bytes) -> Pcm:
        found = unpack(packet)
        if found.codes.shape[1] > 1:
            raise InputError("too many codebooks")
        self.next_frame = (found.first_frame + len(found.codes)) % 65_536
        return np.repeat(found.codes[:, 0], HOP).astype(np.float32)

    def conceal(self, frames: int) -> Pcm:
        self.next_frame = (self.next_frame + frames) % 65_536
        return np.full(frames * HOP, -1, np.float32)


def packets(count: int, frames: int = 2, start: int = 0) -> list[bytes]:
    """Packets whose frame n has the code n modulo 1000."""
    out = []
    for first in range(start, start + count * frames, frames):
        codes = np.arange(first, first + frames)[:, None] % 1000
        out.append(pack(Packet(codes, first % 65_536)))
    return out


def said(receiver: PacketReceiver, arriving: list[bytes]) -> list[int]:
    """The code of every frame that is heard, -1 for a concealed one."""
    heard = np.concatenate([*map(receiver.push, arriving), receiver.flush()])
    return heard[::HOP].astype(int).tolist()


def test_packets_in_order_are_played_as_they_come() -> None:
    receiver = PacketReceiver(Numbers())
    assert [len(receiver.push(packet)) for packet in packets(5)] == [2 * HOP] * 5


def test_reordered_and_duplicated_packets_play_once_and_in_order() -> None:
    a, b, c, d, e = packets(5)
    receiver = PacketReceiver(Numbers())
    assert said(receiver, [a, c, b, b, a, d, e, e]) == list(range(10))
    assert receiver.delivery.late == 3
    assert receiver.delivery.concealed_frames == 0


def test_a_lost_packet_is_concealed_once_enough_later_ones_are_there() -> None:
    a, _, c, d, e = packets(5)
    receiver = PacketReceiver(Numbers(), wait_packets=2)
    sizes = [len(receiver.push(packet)) // HOP for packet in (a, c, d, e)]
    assert sizes == [2, 0, 0, 8]
    assert receiver.delivery.concealed_frames == 2
    assert receiver.push(packets(5)[1]).size == 0
    assert receiver.delivery.late == 1


@pytest.mark.parametrize("start", [0, 65_530], ids=["from zero", "over the end of the numbers"])
def test_damaged_packets_are_lost_ones_and_nothing_raises(start: int) -> None:
    a, b, c, d, e = packets(5, start=start)
    receiver = PacketReceiver(Numbers(start), wait_packets=0)
    broken = [b[:-1], b"", bytes(20), c[:9] + bytes([c[9] ^ 1]) + c[10:]]
    expected = [n % 1000 for n in range(start, start + 10)]
    expected[2:6] = [-1] * 4
    assert said(receiver, [a, *broken, d, e]) == expected
    assert receiver.delivery.damaged == 4


def test_a_packet_that_the_decoder_refuses_is_concealed_too() -> None:
    a, _, c = packets(3)
    refused = pack(Packet(np.zeros((2, 2), np.int64), 2))
    receiver = PacketReceiver(Numbers(), wait_packets=0)
    assert said(receiver, [a, refused, c]) == [0, 1, -1, -1, 4, 5]


def test_a_very_long_gap_is_not_filled() -> None:
    receiver = PacketReceiver(Numbers(), wait_packets=0)
    far = packets(2, start=2 + LONGEST_GAP_FRAMES + 1)
    assert len(said(receiver, [*packets(1), *far])) == 6


@given(st.integers(0, 2**32), st.integers(0, 4))
def test_whatever_the_network_does_every_frame_is_heard_once_or_concealed(seed: int, wait: int) -> None:
    rng = random.Random(seed)
    sent = packets(40)
    arriving = [p for p in sent[1:-1] if rng.random() > 0.05]
    arriving += rng.sample(arriving, 3)
    arriving = [p for _, p in sorted((i + rng.uniform(0, 3), p) for i, p in enumerate(arriving))]
    heard = said(PacketReceiver(Numbers(), wait), [sent[0], *arriving, sent[-1]])
    assert len(heard) == 80
    assert all(code in (-1, n) for n, code in enumerate(heard))


def test_opus_streams_through_the_receiver() -> None:
    codec = OpusCodec()
    encoder = codec.encoder()
    tone = (np.sin(np.arange(16_000) * 0.1) * 0.2).astype(np.float32)
    sent = [encoder.push(piece) for piece in tone.reshape(10, -1)]
    assert [first_frame_of(packet) for packet in sent] == list(range(0, 50, 5))
    receiver = PacketReceiver(codec.decoder(), wait_packets=1)
    order = [0, 2, 1, 1, 4, 5, 6, 7, 9, 8]
    heard = np.concatenate([*(receiver.push(sent[i]) for i in order), receiver.flush()])
    assert len(heard) == 16_000
    assert receiver.delivery.concealed_frames == 5
    assert receiver.delivery.late == 1


RATES = (1500, 3000, 6000)


@pytest.mark.parametrize(
    ("rate", "queue_ms", "expected"),
    [
        (Rate(6000), 401, Rate(3000, 0, 0)),
        (Rate(6000), 399, Rate(6000, 0, float("inf"))),
        (Rate(1500), 9999, Rate(1500, 0, float("inf"))),
        (Rate(3000, 0, 300), 999, Rate(3000, 0, 400)),
        (Rate(3000, 0, 500), 999, Rate(1500, 0, 0)),
        (Rate(1500, 3800, 9000), 20, Rate(1500, 3900, 9100)),
        (Rate(1500, 3900, 9000), 20, Rate(3000, 0, 0)),
        (Rate(1500, 3900, 9000), 100, Rate(1500, 0, 9100)),
        (Rate(6000, 9000, 9000), 0, Rate(6000, 9100, 9100)),
    ],
)
def test_the_rate_follows_the_queue(rate: Rate, queue_ms: float, expected: Rate) -> None:
    assert adapted(rate, queue_ms, 100, RATES) == expected


def test_on_a_link_of_two_kilobits_the_rate_falls_and_the_queue_drains() -> None:
    rate, queue_bits, rates = Rate(6000), 0.0, []
    for _ in range(600):
        queue_bits = max(0.0, queue_bits + 0.1 * (rate.bitrate_bps - 2000))
        rate = adapted(rate, queue_bits / rate.bitrate_bps * 1000, 100, RATES)
        rates.append(rate.bitrate_bps)
    assert rates[30:60] == [1500] * 30
    assert queue_bits / 1500 < 2
    assert sum(a != b for a, b in pairwise(rates)) < 30


def test_an_impossible_rule_or_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="raise_below_ms 500"):
        RateRule(raise_below_ms=500)
    with pytest.raises(InputError, match="allowed: 1500, 3000"):
        adapted(Rate(2000), 0, 100, RATES)


def test_what_an_answer_takes_beyond_the_shortest_time_is_the_queue() -> None:
    trips = RoundTrips()
    assert trips.queue_ms() == 0
    for round_trip_ms, queue_ms in ((50, 0), (40, 0), (900, 0), (700, 660), (45, 5), (40, 0)):
        trips.add(round_trip_ms)
        assert trips.queue_ms() == queue_ms
    assert trips.queue_ms(open_ms=990) == 0
    assert trips.queue_ms(open_ms=2040) == 2000


def test_an_encoder_follows_the_queue_down_from_the_rate_it_has_and_back_up_to_it() -> None:
    encoder = OpusCodec().encoder(12_000)
    follower = RateFollower(encoder, OpusCodec.bitrates_bps)
    rates = []
    for tick in range(200):
        follower.follow(1000.0 if tick < 30 else 0.0, tick * 0.1)
        rates.append(encoder.bitrate_bps)
    assert rates[0] == 8_000
    assert min(rates) == 6_000
    assert rates[-1] == max(rates) == 12_000
    assert rates.index(12_000) > 100


def test_concealment_never_exceeds_what_was_played_by_more_than_the_longest_gap() -> None:
    receiver = PacketReceiver(Numbers(), wait_packets=0, longest_gap_frames=10)
    heard = [code for start in range(0, 12 * 40, 12) for code in said(receiver, packets(1, start=start))]
    assert heard.count(-1) <= 10 + (len(heard) - heard.count(-1))
    assert len(heard) - heard.count(-1) == 80
