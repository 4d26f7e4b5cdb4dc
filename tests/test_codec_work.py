"""Frames of many streams go through the codec together and come out as each would have had them alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from streamst.audio import Pcm
from streamst.codecs.neural_stream import NeuralDecoder, NeuralEncoder, NeuralSpeechCodec
from streamst.codecs.receive import PacketReceiver
from streamst.codecs.work import CodecSteps, CodecWork, now, perform_all
from streamst.errors import InputError
from streamst.pipeline import Pipeline

R = TypeVar("R")
FRAME = 320


@pytest.fixture(scope="module")
def codec(tiny_pipeline: Pipeline) -> NeuralSpeechCodec:
    assert isinstance(tiny_pipeline.codec, NeuralSpeechCodec)
    return tiny_pipeline.codec


def talk(seed: int, frames: int) -> Pcm:
    rng = np.random.default_rng(seed)
    tone = np.sin(np.cumsum(rng.uniform(0.03, 0.2, frames * FRAME)))
    return (0.3 * tone + 0.02 * rng.standard_normal(frames * FRAME)).astype(np.float32)


def together(steps: Sequence[CodecSteps[R]]) -> tuple[list[R], list[int]]:
    """What each of `steps` returns, all work that is asked for at once done at once; and how much that was."""
    results: dict[int, R] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(steps)))
    sizes = []
    while answers:
        asked: dict[int, CodecWork] = {}
        for at, answer in answers.items():
            try:
                asked[at] = steps[at].send(answer)
            except StopIteration as stop:
                results[at] = stop.value
        if asked:
            sizes.append(len(asked))
        answers = dict(zip(asked, perform_all(list(asked.values())), strict=True))
    return [results[at] for at in range(len(steps))], sizes


def test_speakers_of_several_rates_and_lengths_send_together_what_each_sends_alone(codec: NeuralSpeechCodec) -> None:
    rates = [*codec.bitrates_bps, *codec.bitrates_bps]
    lengths = [8, 8, 8, 5, 8, 3][: len(rates)]
    alone: list[NeuralEncoder] = [codec.encoder(rate) for rate in rates]
    company: list[NeuralEncoder] = [codec.encoder(rate) for rate in rates]
    for turn in range(3):
        talks = [talk(10 * turn + at, frames) for at, frames in enumerate(lengths)]
        expected = [encoder.push(pcm) for encoder, pcm in zip(alone, talks, strict=True)]
        found, sizes = together([encoder.pushing(pcm) for encoder, pcm in zip(company, talks, strict=True)])
        assert found == expected
        assert sizes == [len(rates)]
    assert together([encoder.flushing() for encoder in company])[0] == [encoder.flush() for encoder in alone]


def test_listeners_hear_together_what_each_hears_alone_lost_packets_included(codec: NeuralSpeechCodec) -> None:
    encoders = [codec.encoder() for _ in range(3)]
    packets = [[encoder.push(talk(at, 6)) for _ in range(6)] for at, encoder in enumerate(encoders)]
    packets[1][2:4] = []  # concealed once a later one has waited for them
    alone: list[NeuralDecoder] = [codec.decoder() for _ in range(3)]
    company: list[NeuralDecoder] = [codec.decoder() for _ in range(3)]
    receivers = [PacketReceiver(decoder, wait_packets=0) for decoder in alone]
    others = [PacketReceiver(decoder, wait_packets=0) for decoder in company]
    for turn in range(4):
        expected = [receiver.push(packets[at][turn]) for at, receiver in enumerate(receivers)]
        found, _ = together([other.pushing(packets[at][turn]) for at, other in enumerate(others)])
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)
    assert others[1].delivery.concealed_frames == 12


def test_a_damaged_packet_leaves_the_others_and_its_own_decoder_as_they_were(codec: NeuralSpeechCodec) -> None:
    encoder = codec.encoder()
    packets = [encoder.push(talk(at, 4)) for at in range(2)]
    decoder = codec.decoder()
    first = decoder.push(packets[0])
    with pytest.raises(InputError):
        now(decoder.pushing(packets[1][:-3]))
    again = codec.decoder()
    np.testing.assert_array_equal(first, again.push(packets[0]))
    np.testing.assert_array_equal(decoder.push(packets[1]), again.push(packets[1]))
