"""Audio as it travels: payloads to samples at the session's rate, and speech to payloads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from streamst.audio import Pcm, from_pcm16, to_pcm16
from streamst.audio.lasting import LastingResampler, ResamplerKept
from streamst.codecs import bitstream, opus
from streamst.codecs.base import Codec, Encoder, Lasting
from streamst.codecs.opus_lasting import LastingOpusDecoder
from streamst.codecs.rate import RateFollower
from streamst.codecs.receive import NumberedDecoder, PacketReceiver, first_frame_of
from streamst.codecs.work import CodecSteps, StepwiseEncoder
from streamst.errors import InputError, ProtocolError, UnavailableError
from streamst.nn.packing import from_bytes, to_bytes

from . import codes
from .containers import Unpacking
from .seam import Audio, AudioCodec, Settings

LONGEST_MESSAGE_MS = 120_000.0
LONGEST_PACKET_FRAMES = 150  # 3 s: more would keep the model's thread from everybody else
LOWEST_HZ, HIGHEST_HZ = 8_000, 48_000  # of pcm16 from a client
WAIT_PACKETS = 2  # later ones that may come before a missing one is concealed
DAMAGED_PACKETS = 50  # one after the other, with none that can be read between them: this is no noisy line


def codecs_offered(codec: Codec | None) -> list[AudioCodec]:
    """What can be spoken here, the model's own codec being `codec`."""
    found: list[AudioCodec] = ["pcm16", "opus", "neural"]
    missing = {"opus"} if find_spec("av") is None else set[AudioCodec]()
    return [name for name in found if name not in missing and (name != "neural" or codec is not None)]


def codec_for(name: AudioCodec, codec: Codec | None) -> Codec | None:
    """The codec `name`, None for pcm16; `codec` is the model's own. ProtocolError 4400 when it is not to be had."""
    if name == "pcm16":
        return None
    if name == "neural" and codec is not None:
        return codec
    try:
        if name == "opus":
            return opus.OpusCodec()
    except UnavailableError:
        pass
    allowed = ", ".join(codecs_offered(codec))
    raise ProtocolError(f"this server does not speak the codec {name!r}; allowed: {allowed}", codes.BAD_PARAMETER)


def duration_ms(audio: Audio, settings: Settings, codec: Codec | None) -> float:
    """How much speech a message holds, or claims to, 0 for a container's, of which only reading it tells; ProtocolError
    1009 when it is more than a message may hold, 4400 at an impossible sample rate, which nobody may have been told
    about yet."""
    if audio.codec == "container":
        return 0.0
    if audio.codec == "pcm16":
        _check_rate(settings.sample_rate_hz)
        held_ms = len(audio.payload) / 2 / settings.sample_rate_hz * 1000
    else:
        frames = sum(count for _, count in packets(audio.payload, audio.codec))
        held_ms = frames / _frame_hz(audio.codec, codec) * 1000
    if held_ms > LONGEST_MESSAGE_MS:
        raise ProtocolError(
            f"a message may hold {LONGEST_MESSAGE_MS / 1000:g} s of audio; this one has {held_ms / 1000:.1f} s",
            codes.TOO_BIG,
        )
    return held_ms


def packets(payload: bytes, codec: AudioCodec) -> Iterator[tuple[bytes, int]]:
    """The packets in `payload` with the frames that each claims; damage may stand among them, and counts little."""
    for start, end, frames in (opus if codec == "opus" else bitstream).spans(payload):
        if frames > LONGEST_PACKET_FRAMES:
            try:
                first_frame_of(payload[start:end])
            except InputError:  # what it claims is damage, too
                yield payload[start:end], 0
                continue
            raise ProtocolError(
                f"a codec packet on the wire may hold {LONGEST_PACKET_FRAMES} frames; this one claims {frames}",
                codes.TOO_BIG,
            )
        yield payload[start:end], frames


def _check_rate(rate_hz: int) -> None:
    if not LOWEST_HZ <= rate_hz <= HIGHEST_HZ:
        reason = f"config.sample_rate_hz: {rate_hz}; allowed: {LOWEST_HZ} to {HIGHEST_HZ}"
        raise ProtocolError(reason, codes.BAD_PARAMETER)


def _frame_hz(name: AudioCodec, codec: Codec | None) -> float:
    if name == "opus":
        return opus.OpusCodec.frame_hz
    found = codec_for(name, codec)
    assert found is not None
    return found.frame_hz


@dataclass(frozen=True)
class UplinkKept:
    """An `Uplink` between two messages."""

    receiver: NDArray[np.uint8]  # empty for pcm16
    resampler: ResamplerKept
    damaged: int
    any_good: bool
    came: int  # bytes of a recording
    given: int  # samples that were made of it


@dataclass(frozen=True)
class DownlinkKept:
    """A `Downlink` between two pieces of speech."""

    encoder: NDArray[np.uint8]  # empty for pcm16
    resampler: ResamplerKept | None


class Uplink:
    """The client's audio: decoded and resampled, one object a stream.

    Opus and neural packets may be lost, doubled, damaged or out of order: what is missing is concealed.
    """

    def __init__(self, settings: Settings, sample_rate_hz: int, codec: Codec | None) -> None:
        self._name: AudioCodec = settings.codec
        self._receiver: PacketReceiver | None = None
        self._damaged = 0  # in a row
        self._any_good = False
        self._frame_ms = 0.0
        self._came = self._given = 0  # of a recording: bytes, and the samples that they gave
        self._skip = 0  # of the latter: they were heard on another node
        self._unpacking = Unpacking(sample_rate_hz) if settings.codec == "container" else None
        if self._unpacking is not None:
            self._resampler = LastingResampler(sample_rate_hz, sample_rate_hz)
            return
        found = codec_for(settings.codec, codec)
        if found is not None:
            if settings.sample_rate_hz != found.sample_rate_hz:
                raise ProtocolError(
                    f"config.sample_rate_hz: {settings.sample_rate_hz} with codec {settings.codec}; "
                    f"it has {found.sample_rate_hz} Hz",
                    codes.BAD_PARAMETER,
                )
            self._receiver, self._frame_ms = receiver(found), 1000 / found.frame_hz
        else:
            _check_rate(settings.sample_rate_hz)
        self._resampler = LastingResampler(settings.sample_rate_hz, sample_rate_hz)

    def split(self, payload: bytes, chunk_ms: int) -> Iterator[bytes]:
        """`payload` in parts that can be decoded one after the other: of `chunk_ms`, or single packets."""
        if self._unpacking is not None:
            yield from self._unpacking.split(payload)
        elif self._receiver is not None:
            yield from (packet for packet, _ in packets(payload, self._name))
        else:
            size = 2 * max(1, self._resampler.source_hz * chunk_ms // 1000)
            yield from (payload[at : at + size] for at in range(0, len(payload), size))

    def decoding(self, payload: bytes) -> CodecSteps[Pcm]:
        """The samples (samples,) that a part completes.

        ProtocolError 1007 where damage is no accident: the first packet that comes, or very many in a row; and for a
        container that cannot be read.
        """
        if self._unpacking is not None:
            self._came += len(payload)
            return self._not_heard(self._unpacking.hear(payload))
        pcm = from_pcm16(payload) if self._receiver is None else (yield from self._receiving(self._receiver, payload))
        return self._resampler.push(pcm)

    def flushing(self) -> CodecSteps[Pcm]:
        """What still waits for a packet that never came, and what the resampler holds; again while `waiting`."""
        if self._unpacking is not None:
            return self._not_heard(self._unpacking.end())
        rest = np.zeros(0, np.float32) if self._receiver is None else (yield from self._receiver.flushing())
        return self._resampler.push(rest, final=True)

    @property
    def waiting(self) -> bool:
        """Whether an empty part is to be decoded next: of the last one not all was."""
        return self._unpacking is not None and self._unpacking.waiting

    @property
    def trouble(self) -> str:
        """After `flushing`: what was wrong with a recording, in words; "" for nothing."""
        return "" if self._unpacking is None else self._unpacking.trouble

    @property
    def endless(self) -> bool:
        """Whether what comes next cannot be understood without what came before: it goes on in another session."""
        return self._unpacking is not None

    def keep(self) -> bytes:
        """What `go_on` takes, between two messages, beside the recording; b"" where that cannot be had."""
        receiver = b"" if self._receiver is None else self._receiver.keep()
        if self._receiver is not None and not receiver:
            return b""
        resampler = self._resampler.keep()
        packets = np.frombuffer(receiver, np.uint8)
        return to_bytes(UplinkKept(packets, resampler, self._damaged, self._any_good, self._came, self._given))

    def go_on(self, kept: bytes, recording: bytes = b"") -> list[bytes]:
        """Be where another one with the same settings was, once the parts that this gives are decoded; InputError when
        `kept` is not of one. recording: what came of one, or more."""
        found: UplinkKept = from_bytes(UplinkKept, kept)
        if self._unpacking is not None:
            if not 0 <= found.came <= len(recording) or found.given < 0:
                raise InputError(f"of a recording {found.came} bytes were heard, and {len(recording)} are kept")
            self._skip = found.given
            return [*self._unpacking.split(recording[len(recording) - found.came :])]
        if self._receiver is not None:
            self._receiver.go_on(found.receiver.tobytes())
        self._resampler.go_on(found.resampler)
        self._damaged, self._any_good = found.damaged, found.any_good
        return []

    def _not_heard(self, pcm: Pcm) -> Pcm:
        """What of a recording's samples another node has not heard."""
        skipped = min(self._skip, len(pcm))
        self._given, self._skip = self._given + len(pcm), self._skip - skipped
        return pcm[skipped:]

    def close(self) -> None:
        """Nobody needs it any more."""
        if self._unpacking is not None:
            self._unpacking.close()

    @property
    def concealed_ms(self) -> float:
        """How much was lost on the way so far, and filled."""
        return 0.0 if self._receiver is None else self._receiver.delivery.concealed_frames * self._frame_ms

    def _receiving(self, receiver: PacketReceiver, packet: bytes) -> CodecSteps[Pcm]:
        delivery = receiver.delivery
        before = delivery.damaged
        pcm = yield from receiver.pushing(packet)
        if delivery.damaged == before:
            self._damaged, self._any_good = 0, True
            return pcm
        self._damaged += delivery.damaged - before
        if not self._any_good or self._damaged > DAMAGED_PACKETS:
            raise ProtocolError(f"{self._name} audio: {receiver.trouble}", codes.BAD_DATA)
        return pcm


class Downlink:
    """The target speech: encoded, one object a stream.

    bitrate_bps: the highest, None for the codec's own choice; ProtocolError 4400 for one that the codec does not have.
    What comes at `voice_hz` leaves at `sample_rate_hz`, the codec's.
    """

    def __init__(
        self, codec_name: AudioCodec, codec: Codec | None, bitrate_bps: int | None = None, voice_hz: int = 16_000
    ) -> None:
        self._name: AudioCodec = codec_name
        self.sample_rate_hz = voice_hz
        self._resampler: LastingResampler | None = None
        self._encoder: Encoder | None = None
        self._frame_samples = 0
        found = codec_for(codec_name, codec)
        if found is not None:
            try:
                encoder = found.encoder(bitrate_bps)
            except InputError as error:
                raise ProtocolError(f"config.output_bitrate_bps: {error}", codes.BAD_PARAMETER) from error
            self._encoder = encoder
            self.rate = RateFollower(encoder, found.bitrates_bps)
            self._frame_samples = round(found.sample_rate_hz / found.frame_hz)
            self.sample_rate_hz = found.sample_rate_hz
            self._resampler = LastingResampler(voice_hz, found.sample_rate_hz)

    def keep(self) -> bytes:
        """What `go_on` takes; b"" where that cannot be had."""
        if self._encoder is not None and not isinstance(self._encoder, Lasting):
            return b""
        encoder = b"" if self._encoder is None else self._encoder.keep()
        resampler = None if self._resampler is None else self._resampler.keep()
        return to_bytes(DownlinkKept(np.frombuffer(encoder, np.uint8), resampler))

    def go_on(self, kept: bytes) -> None:
        """Be where another one with the same settings was; InputError when `kept` is not of one."""
        found: DownlinkKept = from_bytes(DownlinkKept, kept)
        if self._encoder is None or self._resampler is None:
            return
        if not isinstance(self._encoder, Lasting) or found.resampler is None:
            raise InputError("speech that was encoded cannot go on with nothing kept of its encoder")
        self._encoder.go_on(found.encoder.tobytes())
        self._resampler.go_on(found.resampler)
        self.rate.go_on()

    def follow(self, queue_ms: float, now_s: float) -> None:
        """Choose the rate of what is encoded next: `queue_ms` of the connection's traffic waits to be delivered."""
        if self._encoder is not None:
            self.rate.follow(queue_ms, now_s)

    def encoding(self, pcm: Pcm) -> CodecSteps[tuple[bytes, int]]:
        """The payload for the frames that `pcm` completes, and how many samples a client will hear from it."""
        if self._encoder is None or self._resampler is None:
            return to_pcm16(pcm), len(pcm)
        return self._with_samples((yield from _pushing(self._encoder, self._resampler.push(pcm))))

    def flushing(self) -> CodecSteps[tuple[bytes, int]]:
        """The payload for what the encoder holds back; nothing where there is no encoder."""
        encoder = self._encoder
        if encoder is None or self._resampler is None:
            return b"", 0
        held = self._resampler.push(np.zeros(0, np.float32), final=True)
        rest = yield from _pushing(encoder, held)
        last = (yield from encoder.flushing()) if isinstance(encoder, StepwiseEncoder) else encoder.flush()
        return self._with_samples(rest + last)

    def _with_samples(self, payload: bytes) -> tuple[bytes, int]:
        spans = (opus if self._name == "opus" else bitstream).spans(payload)
        return payload, sum(frames for _, _, frames in spans) * self._frame_samples


def _pushing(encoder: Encoder, pcm: Pcm) -> CodecSteps[bytes]:
    return (yield from encoder.pushing(pcm)) if isinstance(encoder, StepwiseEncoder) else encoder.push(pcm)


def receiver(codec: Codec, first: bytes | None = None) -> PacketReceiver:
    """What plays a codec's packets as a bad network delivers them; from the packet `first` on, nothing being lost that
    came before, or from frame 0."""
    decoder = LastingOpusDecoder() if isinstance(codec, opus.OpusCodec) else codec.decoder()
    assert isinstance(decoder, NumberedDecoder)
    if first is not None:
        decoder.next_frame = first_frame_of(first)
    return PacketReceiver(decoder, WAIT_PACKETS, LONGEST_PACKET_FRAMES)
