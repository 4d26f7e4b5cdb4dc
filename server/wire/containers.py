"""A recording as it is made, in a container that nobody has named: looked at, and unpacked piece by piece.

Plain WAV is read at once (wav.py); everything else by FFmpeg's libraries (streamst/audio/pieces.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from streamst.audio import Pcm, Resampler, from_pcm16
from streamst.audio.pieces import Unpacker
from streamst.errors import InputError, ProtocolError

from . import codes
from .wav import UnusualError, WavDecoder

PIECE_BYTES = 1 << 13  # that are read at a time: what they hold may be long
LOOKED_AT = 12  # bytes by which a recording is known
KNOWN = re.compile(
    rb"RIFF....(WAVE|AVI )|RIFX|RF64|BW64|riff|OggS|fLaC|ID3|\xff[\xe0-\xff]|\x1a\x45\xdf\xa3|FORM|\.snd|caff|#!AMR"
    rb"|....(ftyp|styp|moov|moof|mdat|free|skip|wide|sidx)|NIST_1A|Creative|\x0b\x77|\x30\x26\xb2\x75|G",
    re.DOTALL,
)
USABLE = "use WAV, FLAC, Ogg, MP3, AIFF, M4A, MP4, WebM, Matroska or AAC, or name the encoding of raw audio"


class Unpacking:
    """One recording. `close` it: what unpacks has a thread."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._held = b""  # until it is known what it is
        self._wav: WavDecoder | None = None
        self._resampler: Resampler | None = None
        self._unpacker: Unpacker | None = None

    def split(self, payload: bytes) -> Iterator[bytes]:
        """`payload` in the pieces that `hear` should get."""
        yield from (payload[at : at + PIECE_BYTES] for at in range(0, len(payload), PIECE_BYTES))

    def hear(self, piece: bytes) -> Pcm:
        """The samples (samples,) that a piece completes, the first second of them; the rest with b"" while `waiting`.

        ProtocolError 1007 for what is no recording, or can be read no further.
        """
        if self._unpacker is None:
            if self._resampler is not None:
                return self._plainly(piece)
            self._held += piece
            if len(self._held) < LOOKED_AT:
                return np.zeros(0, np.float32)
            if not KNOWN.match(self._held):
                begin = self._held[:LOOKED_AT]
                raise _unreadable(f"it begins with {begin!r}, as no recording does; {USABLE}")
            if self._held[:4] == b"RIFF" and self._held[8:12] == b"WAVE":
                pcm = self._read_wav(piece)
                if pcm is not None:
                    return pcm
            piece, self._held = self._held, b""
            self._unpacker = Unpacker(self._rate_hz)
        return self._unpacked(self._unpacker, piece)

    @property
    def waiting(self) -> bool:
        """Whether there is more to hear of what came."""
        return self._unpacker is not None and self._unpacker.waiting

    def end(self) -> Pcm:
        """Nothing more comes: the samples that are left, the first second of them; the rest as with `hear`."""
        if self._resampler is not None:
            return self._resampler.push(np.zeros(0, np.float32), final=True)
        if self._unpacker is None:
            if not self._held:
                return np.zeros(0, np.float32)
            self._unpacker = Unpacker(self._rate_hz)
            self._unpacker.feed(self._held)
        try:
            self._unpacker.end()
        except InputError as error:
            raise _unreadable(str(error)) from error
        return self._unpacker.take()

    @property
    def trouble(self) -> str:
        """At the end: what was wrong with the recording, in words; "" for nothing."""
        return "" if self._unpacker is None else self._unpacker.trouble

    def close(self) -> None:
        """Forget everything."""
        if self._unpacker is not None:
            self._unpacker.close()

    def _read_wav(self, piece: bytes) -> Pcm | None:
        """The samples of a plain WAV file, as far as it is known to be one; None where it is another."""
        first = self._wav is None
        self._wav = self._wav or WavDecoder()
        try:
            data = self._wav.decode(self._held if first else piece)
        except UnusualError:
            return None
        if not self._wav.begun:
            return np.zeros(0, np.float32)
        self._held = b""
        self._resampler = Resampler(self._wav.rate_hz, self._rate_hz)
        return self._resampler.push(from_pcm16(data))

    def _plainly(self, piece: bytes) -> Pcm:
        assert self._wav is not None
        assert self._resampler is not None
        return self._resampler.push(from_pcm16(self._wav.decode(piece)))

    def _unpacked(self, unpacker: Unpacker, piece: bytes) -> Pcm:
        if piece and unpacker.over and unpacker.trouble:
            raise _unreadable(unpacker.trouble)
        try:
            unpacker.feed(piece)
        except InputError as error:
            raise _unreadable(str(error)) from error
        pcm = unpacker.take()
        if not len(pcm) and unpacker.over and unpacker.trouble:
            raise _unreadable(unpacker.trouble)
        return pcm


def _unreadable(reason: str) -> ProtocolError:
    return ProtocolError(f"the audio cannot be read: {reason}", codes.BAD_DATA)
