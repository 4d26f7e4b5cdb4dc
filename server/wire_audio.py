"""Audio as it travels: payloads to samples at the session's rate, and speech to payloads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamst.audio import Pcm, Resampler, from_pcm16, to_pcm16
from streamst.codecs.base import Codec, Decoder, Encoder
from streamst.codecs.bitstream import spans
from streamst.errors import InputError, ProtocolError

from . import codes
from .seam import Audio, AudioCodec, Settings

LONGEST_MESSAGE_MS = 120_000.0
LONGEST_PACKET_FRAMES = 150  # 3 s: more would keep the model's thread from everybody else
LOWEST_HZ, HIGHEST_HZ = 8_000, 48_000  # of pcm16 from a client


def duration_ms(audio: Audio, settings: Settings, codec: Codec | None) -> float:
    """How much speech a message holds, or claims to; ProtocolError 1009 when it is more than a message may hold."""
    if audio.codec == "pcm16":
        held_ms = len(audio.payload) / 2 / settings.sample_rate_hz * 1000
    else:
        frames = sum(count for _, count in _packets(audio.payload))
        held_ms = frames / _require(codec).frame_hz * 1000
    if held_ms > LONGEST_MESSAGE_MS:
        raise ProtocolError(
            f"a message may hold {LONGEST_MESSAGE_MS / 1000:g} s of audio; this one has {held_ms / 1000:.1f} s",
            codes.TOO_BIG,
        )
    return held_ms


def _packets(payload: bytes) -> Iterator[tuple[bytes, int]]:
    """The neural packets in `payload` with the frames that each claims; the rest, whatever it is, with none."""
    for start, end, frames in spans(payload):
        if frames > LONGEST_PACKET_FRAMES:
            raise ProtocolError(
                f"a codec packet on the wire may hold {LONGEST_PACKET_FRAMES} frames; this one claims {frames}",
                codes.TOO_BIG,
            )
        yield payload[start:end], frames


class Uplink:
    """The client's audio: decoded and resampled, one object a stream."""

    def __init__(self, settings: Settings, sample_rate_hz: int, codec: Codec | None) -> None:
        self._decoder: Decoder | None = None
        if settings.codec == "neural":
            codec = _require(codec)
            if settings.sample_rate_hz != codec.sample_rate_hz:
                raise ProtocolError(
                    f"config.sample_rate_hz: {settings.sample_rate_hz} with the neural codec; "
                    f"it has {codec.sample_rate_hz} Hz",
                    codes.BAD_PARAMETER,
                )
            self._decoder = codec.decoder()
        elif not LOWEST_HZ <= settings.sample_rate_hz <= HIGHEST_HZ:
            raise ProtocolError(
                f"config.sample_rate_hz: {settings.sample_rate_hz}; allowed: {LOWEST_HZ} to {HIGHEST_HZ}",
                codes.BAD_PARAMETER,
            )
        self._resampler = Resampler(settings.sample_rate_hz, sample_rate_hz)

    def split(self, payload: bytes, chunk_ms: int) -> Iterator[bytes]:
        """`payload` in parts that can be decoded one after the other: of `chunk_ms`, or single packets."""
        if self._decoder is not None:
            yield from (packet for packet, _ in _packets(payload))
        else:
            size = 2 * max(1, self._resampler.source_hz * chunk_ms // 1000)
            yield from (payload[at : at + size] for at in range(0, len(payload), size))

    def decode(self, payload: bytes) -> Pcm:
        """The samples (samples,) that a part completes; ProtocolError 1007 for a damaged one."""
        try:
            pcm = from_pcm16(payload) if self._decoder is None else self._decoder.push(payload)
        except InputError as error:
            raise ProtocolError(str(error), codes.BAD_DATA) from error
        return self._resampler.push(pcm)

    def flush(self) -> Pcm:
        """What the resampler still holds."""
        return self._resampler.push(np.zeros(0, np.float32), final=True)


class Downlink:
    """The target speech: encoded, one object a stream."""

    def __init__(self, codec_name: AudioCodec, codec: Codec | None) -> None:
        self._encoder: Encoder | None = None
        self._frame_samples = 0
        if codec_name == "neural":
            codec = _require(codec)
            self._encoder = codec.encoder()
            self._frame_samples = round(codec.sample_rate_hz / codec.frame_hz)

    def encode(self, pcm: Pcm) -> tuple[bytes, int]:
        """The payload for the frames that `pcm` completes, and how many samples a client will hear from it."""
        if self._encoder is None:
            return to_pcm16(pcm), len(pcm)
        return self._with_samples(self._encoder.push(pcm))

    def flush(self) -> tuple[bytes, int]:
        """The payload for what the encoder holds back; nothing where there is no encoder."""
        return (b"", 0) if self._encoder is None else self._with_samples(self._encoder.flush())

    def _with_samples(self, payload: bytes) -> tuple[bytes, int]:
        return payload, sum(frames for _, frames in _packets(payload)) * self._frame_samples


def _require(codec: Codec | None) -> Codec:
    if codec is None:
        raise ProtocolError("this server's model has no neural codec; allowed: pcm16", codes.BAD_PARAMETER)
    return codec
