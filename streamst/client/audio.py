"""The client's side of the wire's codecs: audio that is sent, speech that comes back, and how much that takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection

from streamst.audio import Pcm, from_pcm16, to_pcm16
from streamst.codecs.base import Codec, Encoder
from streamst.codecs.catalog import open_codec
from streamst.codecs.rate import RateFollower
from streamst.codecs.receive import PacketReceiver
from streamst.errors import InputError, ProtocolError
from streamst.events import Speech
from streamst.server.wire.audio import receiver
from streamst.server.wire.seam import Audio, Settings
from streamst.server.wire.traffic import Traffic

PIECE_MS = {"pcm16": 100, "opus": 200, "neural": 200}  # a message costs some 100 bytes whatever is in it
MESSAGES_ON_WAY = 2  # not yet confirmed to this computer, though nothing keeps them
HEADERS_BYTES = 30  # around a message, of the websocket and of TLS


@dataclass
class Exchange:
    """What a stream has carried so far, and at which rate it sends: live, for whoever looks at it."""

    up: Traffic = field(default_factory=lambda: Traffic(from_client=True))
    down: Traffic = field(default_factory=lambda: Traffic(from_client=False))
    audio_ms: float = 0.0  # sent
    bitrate_bps: int | None = None  # of what is sent next; None for pcm16
    lost_frames: int = 0  # of speech, concealed
    reconnects: int = 0  # attempts to go on over another connection

    def told(self) -> str:
        """In words."""
        up, down = self.up.rates(self.audio_ms), self.down.rates(self.audio_ms)
        return (
            f"sent {up.payload_kbps:.1f} kbit/s of audio ({up.wire_kbps:.1f} on the wire), "
            f"received {down.payload_kbps:.1f} ({down.wire_kbps:.1f})"
        )


def codec_for(name: str, codec: Codec | None) -> Codec | None:
    """The codec of the settings' `name`; None for pcm16. InputError where the neural one is not given."""
    if name == "pcm16":
        return None
    if name == "opus":
        return open_codec("opus")
    if name != "neural":
        raise InputError(f"codec {name!r} does not travel to a server; allowed: {', '.join(PIECE_MS)}")
    if codec is None or codec.name != "neural":
        raise InputError("settings ask for the neural codec: give it as `codec`")
    return codec


class Sending:
    """The audio on its way to the server.

    bitrate_bps: the highest, None for the codec's own choice. adapts: it falls while the network is slower, which makes
    sense for what is spoken now, not for a file that is sent as fast as can be.
    """

    def __init__(
        self, settings: Settings, codec: Codec | None, bitrate_bps: int | None, adapts: bool, exchange: Exchange
    ) -> None:
        found = codec_for(settings.codec, codec)
        if found is None and bitrate_bps is not None:
            raise InputError(f"pcm16 has one bit rate; leave {bitrate_bps} out or use opus or neural")
        self.piece_ms = PIECE_MS[settings.codec]
        self.piece_samples = settings.sample_rate_hz * self.piece_ms // 1000
        self._exchange, self._adapts = exchange, adapts
        self._encoder: Encoder | None = None
        self._rate: RateFollower | None = None
        if found is not None:
            self._encoder = found.encoder(bitrate_bps)
            self._rate = RateFollower(self._encoder, found.bitrates_bps)
            exchange.bitrate_bps = self._rate.bitrate_bps

    def encode(self, pcm: Pcm) -> bytes:
        """The payload for what `pcm` (samples,) completes."""
        return to_pcm16(pcm) if self._encoder is None else self._encoder.push(pcm)

    def flush(self) -> bytes:
        """The payload for the rest."""
        return b"" if self._encoder is None else self._encoder.flush()

    def follow(self, message: bytes, socket: ClientConnection, began_s: float, queue_ms: float) -> None:
        """Choose the rate of what comes next, `message` having been sent.

        began_s: when its sending began (time.monotonic). queue_ms: of audio that waits before the socket, or on the way
        by the round trips' times.
        """
        if self._rate is None or not self._adapts:
            return
        now_s = time.monotonic()
        waiting = max(0, unsent_bytes(socket) - MESSAGES_ON_WAY * (len(message) + HEADERS_BYTES))
        waiting_ms = waiting / len(message) * self.piece_ms
        self._rate.follow(max(waiting_ms, queue_ms) + (now_s - began_s) * 1000, now_s)
        self._exchange.bitrate_bps = self._rate.bitrate_bps


def unsent_bytes(socket: ClientConnection) -> int:
    """What waits in this process and, where the system tells, in its network stack."""
    waiting = socket.transport.get_write_buffer_size()
    try:
        import fcntl
        import termios

        held = fcntl.ioctl(socket.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return waiting + int.from_bytes(held, "little")
    except (ImportError, OSError, AttributeError, ValueError):
        return waiting


class Listening:
    """The speech that comes back: messages that announce it, and packets that may be lost, doubled or out of order."""

    def __init__(self, settings: Settings, codec: Codec | None, exchange: Exchange, joins: bool = False) -> None:
        """joins: what comes begins in mid-speech, at any frame, and may go on at any other after `rejoin`."""
        found = codec_for(settings.output_codec, codec) if "audio" in settings.output else None
        self._name, self._codec, self._joins = settings.output_codec, found, joins
        self._receiver: PacketReceiver | None = None if found is None else receiver(found)
        self._exchange = exchange
        self._told: dict[int, dict[str, Any]] = {}  # by sequence, of audio that is still to come
        self._last: dict[str, Any] = {}
        self._texts: list[str] = []  # of speech that is not heard yet

    def announced(self, fields: dict[str, Any]) -> None:
        """A `speech` message."""
        self._told[int(fields["sequence"])] = fields

    def heard(self, audio: Audio) -> Speech | None:
        """An audio message: the speech that can be heard now."""
        if audio.codec == "pcm16":
            told = self._told.get(audio.sequence)
            self._told.clear()
            return None if told is None else _speech(from_pcm16(audio.payload), told, told["text"])
        if self._receiver is None or audio.codec != self._name:
            raise ProtocolError(f"the server sent {audio.codec} speech, which was not asked for", 1003)
        for sequence in [*self._told]:  # those before it, too: what they announced is heard or concealed with this
            if sequence <= audio.sequence:
                self._last = self._told.pop(sequence)
                self._texts += [self._last["text"]] if self._last["text"] else []
        if self._joins and self._codec is not None:
            self._receiver, self._joins = receiver(self._codec, audio.payload), False
        return self._spoken(self._receiver.push(audio.payload))

    def rejoin(self) -> None:
        """What comes next does not follow what came last."""
        self._joins = True
        self._texts.clear()

    def rest(self) -> Speech | None:
        """At the end: what still waits for a packet that was lost."""
        return None if self._receiver is None else self._spoken(self._receiver.flush())

    def _spoken(self, pcm: Pcm) -> Speech | None:
        assert self._receiver is not None
        self._exchange.lost_frames = self._receiver.delivery.concealed_frames
        if not len(pcm) or not self._last:
            return None
        text = " ".join(self._texts)
        self._texts.clear()
        return _speech(pcm, self._last, text)


def _speech(pcm: Pcm, told: dict[str, Any], text: str) -> Speech:
    return Speech(
        pcm=np.asarray(pcm, np.float32),
        sample_rate_hz=told["sample_rate_hz"],
        text=text,
        source_ms=told["source_ms"],
        compute_ms=told["compute_ms"],
    )
