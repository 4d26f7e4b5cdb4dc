"""Codecs that are written down between two packets and gone on with elsewhere: the same samples to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from streamst.audio import Pcm
from streamst.codecs.base import Codec, Lasting
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.codecs.opus import OpusCodec
from streamst.codecs.opus_lasting import REACH_FRAMES, RUN_FRAMES, LastingOpusDecoder
from streamst.errors import InputError
from streamst.server.wire.audio import receiver


@pytest.fixture(params=["opus", "neural"])
def codec(request: pytest.FixtureRequest, tiny_codec: NeuralSpeechCodec) -> Codec:
    return OpusCodec() if request.param == "opus" else tiny_codec


@pytest.fixture(scope="module")
def long(speech: Pcm) -> Pcm:
    return np.tile(speech, 4)


def packets_of(codec: Codec, pcm: Pcm, move: Callable[[Lasting], Lasting] | None = None) -> list[bytes]:
    encoder = codec.encoder()
    said: list[bytes] = []
    for at in range(0, len(pcm), 3001):
        said.append(encoder.push(pcm[at : at + 3001]))
        if move is not None:
            assert isinstance(encoder, Lasting)
            fresh = codec.encoder()
            assert isinstance(fresh, Lasting)
            fresh.go_on(encoder.keep())
            encoder = fresh
    return [*said, encoder.flush()]


def test_a_receiver_goes_on_elsewhere_after_any_packet_though_some_are_lost(codec: Codec, long: Pcm) -> None:
    sent = [packet for at, packet in enumerate(packets_of(codec, long)) if packet and at % 9 != 4]
    sent[20:22] = sent[21:19:-1]  # out of order
    stays, moves = receiver(codec), receiver(codec)
    for packet in sent:
        kept = moves.keep()
        moves = receiver(codec)
        moves.go_on(kept)
        np.testing.assert_array_equal(moves.push(packet), stays.push(packet))
    np.testing.assert_array_equal(moves.flush(), stays.flush())
    assert moves.delivery == stays.delivery
    assert moves.delivery.concealed_frames


def test_the_neural_encoder_goes_on_with_the_same_packets(tiny_codec: NeuralSpeechCodec, speech: Pcm) -> None:
    assert packets_of(tiny_codec, speech, lambda encoder: encoder) == packets_of(tiny_codec, speech)


def test_the_opus_encoder_goes_on_with_the_same_frames(speech: Pcm) -> None:
    """Their samples are almost the same: they are encoded by one that has heard no more than the last of them."""
    codec = OpusCodec()
    stayed, moved = (packets_of(codec, speech, move) for move in (None, lambda encoder: encoder))
    assert [len(packet) > 0 for packet in moved] == [len(packet) > 0 for packet in stayed]
    one, other = (codec.decoder().push(b"".join(packets)) for packets in (stayed, moved))
    assert len(one) == len(other)
    assert np.corrcoef(one, other)[0, 1] > 0.9


def test_an_opus_decoder_of_many_runs_says_what_one_without_end_says(long: Pcm) -> None:
    packets = b"".join(packets_of(OpusCodec(), long))
    one, other = OpusCodec().decoder().push(packets), LastingOpusDecoder().push(packets)
    assert len(one) == len(other) > 320 * (RUN_FRAMES + REACH_FRAMES)
    assert np.abs(one - other).max() < 0.01
    assert np.square(one - other).mean() < 1e-5 * np.square(one).mean()


def test_what_was_not_kept_by_this_codec_is_refused(codec: Codec) -> None:
    found = receiver(codec)
    other = receiver(OpusCodec()).keep()
    for wrong in (b"", b"x" * 100, receiver(codec).keep()[:-3], *([] if isinstance(codec, OpusCodec) else [other])):
        with pytest.raises(InputError):
            found.go_on(wrong)
    for coder in (codec.encoder(), receiver(codec)._decoder):
        assert isinstance(coder, Lasting)
        with pytest.raises(InputError):
            coder.go_on(found.keep())
