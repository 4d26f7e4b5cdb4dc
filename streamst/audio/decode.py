"""Recordings decoded to the end of what is there, by FFmpeg's libraries (PyAV).

A header's length is a promise only where its writer can have known it: what stands in a file is read to its end, and
what was cut off is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from streamst.errors import InputError

from .boxes import BoxBytes, check_file, is_mp4
from .ebml import MAGIC as EBML
from .ebml import EbmlBytes
from .ogg import MAGIC as OGG
from .ogg import OggBytes
from .pcm import Pcm
from .promises import another_begins, mp3_frame_bytes, mp3_samples, whole_bytes
from .riff import WavBytes, is_wav, is_wave64
from .source import Source

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

_USABLE = "use WAV, FLAC, Ogg, MP3, AIFF, M4A, MP4, WebM, Matroska or AAC"
# Formats that hold sound; none that names other files or addresses.
_CONTAINERS = "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,matroska,avi,asf,mpegts,amr,ac3,eac3,nistsphere,voc"
_PIPE = {"probesize": "65536", "analyzeduration": "500000"}  # what is spoken now is heard from its first second on
_LOOSE = ("mp3", "aac")  # after a joint their first frames lack what they refer to: no damage
_SURE = ("flac", "aiff", "au", "mov", "nistsphere")  # whose header tells a length that was counted
_BELIEVED_MISSING_S = 3600.0  # a header that promises hours more than there are is a wrong one
_PLAIN = ("aiff", "au")  # whose size tells how long they are at most
_MEASURED = ("wav", "caf")  # their ends are looked for here
_ALONE = ("mov", "aiff")  # of two that are joined the decoder reads the first
_SLACK_S = {"mov": 1.0}  # between a track's duration and its samples
_FLAC_HOLE_S = 0.001
_PLANES = 8  # from so many on PyAV 18.1 looks for more than there are, and crashes


class Sound:
    """The sound of a source, opened; close it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._given: WavBytes | OggBytes | EbmlBytes | None = None
        self._boxes: BoxBytes | None = None
        self._mp3_samples: int | None = None
        self._whole_bytes: int | None = None
        if is_wav(source.head) or is_wave64(source.head):
            self._given = WavBytes(source)
        elif source.head[:4] == OGG:
            self._given = OggBytes(source)
        elif is_mp4(source.head):
            if source.size is None:
                self._boxes = BoxBytes(source)
            else:
                check_file(source)
        else:
            self._mp3_samples, self._whole_bytes = mp3_samples(source), whole_bytes(source)
            self._given = EbmlBytes(source) if source.head[:4] == EBML else None
        self._trouble = ""
        self._cut = False  # the last packet was not whole
        self._container, self._stream = self._opened()
        self._format = self._container.format.name.partition(",")[0]

    def _opened(self) -> tuple[InputContainer, AudioStream]:
        """What the source gives now: a link of an Ogg chain, a WebM of several, anything else from its beginning."""
        import av
        from av.error import FFmpegError

        source = self._source
        formats = f"{_CONTAINERS},mov" if is_mp4(source.head) else _CONTAINERS  # no MP4 that was not looked at
        options = {"format_whitelist": formats} | (_PIPE if source.size is None else {})
        try:
            file = self._given or self._boxes or (source if source.size is None else source.whole())
            container = av.open(file, mode="r", options=options)
        except (FFmpegError, OSError) as error:  # OSError: its header leads to where no file goes
            self._require_boxes()
            reason = f"{error.strerror}; {_USABLE}"
            raise InputError(f"{source.name} is not audio that can be read, or is damaged: {reason}") from error
        stream = container.streams.best("audio")
        if stream is None:
            container.close()
            raise InputError(f"{source.name} holds no sound")
        if stream.codec_context is None:  # PyAV's for a coding that it does not know
            container.close()
            raise InputError(f"{source.name} holds sound in a coding that cannot be read; {_USABLE}")
        stream.codec_context.thread_count = 1
        if container.format.name == "flac":
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        return container, stream  # type: ignore[return-value]

    def _require_boxes(self) -> None:
        """Raise what an index was refused for."""
        if self._boxes is not None and self._boxes.error is not None:
            raise self._boxes.error

    def close(self) -> None:
        """Close the decoder; the source stays open."""
        self._container.close()

    @property
    def sample_rate_hz(self) -> int:
        """As the header says."""
        return self._stream.codec_context.sample_rate

    @property
    def channels(self) -> int:
        """As the header says."""
        return self._stream.codec_context.channels

    @property
    def described(self) -> str:
        """Container and coding."""
        return f"{self._format} {self._stream.codec_context.name}"

    @property
    def promised(self) -> int | None:
        """Samples a channel, for who will not read them; None where nobody can have known them."""
        if isinstance(self._given, WavBytes):
            return self._given.promised_samples
        if isinstance(self._given, OggBytes):
            while self._given.next_link():
                pass
            seconds = self._given.seconds
            return None if seconds is None else round(seconds * self.sample_rate_hz)
        if self._format == "mp3":
            return self._mp3_samples
        stream, rate = self._stream, self.sample_rate_hz
        if self._format in _SURE and stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
            size, coded = self._source.size, stream.codec_context.format
            held = size / (self.channels * coded.bytes * rate) if size and self._format in _PLAIN else seconds
            return round(seconds * rate) if seconds < held + _BELIEVED_MISSING_S else None
        if self._format == "matroska" and self._container.duration and not another_begins(self._source):
            return round(self._container.duration * rate / 1_000_000)
        return None

    def blocks(self, seconds: float) -> Iterator[tuple[Pcm, int]]:
        """Mono pieces of `seconds`, those before the end or another rate shorter, and their sample rates [Hz]."""
        held: list[Pcm] = []
        rate = self.sample_rate_hz
        for pcm, own_rate in self._pieces():
            if own_rate != rate and held:
                yield np.concatenate(held), rate
                held = []
            rate = own_rate
            held.append(pcm)
            size = round(seconds * rate)
            if sum(map(len, held)) >= size:
                whole = np.concatenate(held)
                end = len(whole) - len(whole) % size
                yield from ((whole[begin : begin + size], rate) for begin in range(0, end, size))
                held = [whole[end:]]
        if sum(map(len, held)):
            yield np.concatenate(held), rate

    def _pieces(self) -> Iterator[tuple[Pcm, int]]:
        """The frames of one link of an Ogg chain after another, no further than its pages' times go.

        A decoder that went on from one link to the next would mix them, and FFmpeg's does not trim the end of a link
        of a single page.
        """
        while True:
            heard = 0
            for frame in self._frames():
                pcm = _mono(frame)
                limit = self._given.link_samples if isinstance(self._given, OggBytes) else None
                yield pcm if limit is None else pcm[: max(0, limit - heard)], frame.sample_rate
                heard += len(pcm)
            if not (isinstance(self._given, (OggBytes, EbmlBytes)) and self._given.next_link()):
                return
            self.close()
            self._container, self._stream = self._opened()

    def _frames(self) -> Iterator[AudioFrame]:
        from av.error import FFmpegError

        ended_s = 0.0
        failed_s: float | None = None
        try:
            for packet in self._container.demux(self._stream):
                frames, failed = _decoded(packet)
                if packet.size:
                    self._cut = self._is_cut(packet, failed)
                if failed:
                    failed_s = ended_s
                for frame in frames:
                    if failed_s is not None and self._format not in _LOOSE:
                        self._note(failed_s)
                    if self._format == "flac" and (frame.time or 0.0) > ended_s + _FLAC_HOLE_S:
                        self._note(ended_s)
                    failed_s = None
                    ended_s = (ended_s if frame.time is None else frame.time) + frame.samples / frame.sample_rate
                    yield frame
        except (FFmpegError, OSError) as error:
            self._trouble = self._trouble or f"cannot be read past {ended_s:.2f} s: {error.strerror}"
        self._require_boxes()

    def _is_cut(self, packet: Packet, failed: bool) -> bool:
        """Whether the end of a packet is missing, if it is the last one."""
        if self._format in _MEASURED:
            return False
        if self._format == "mp3":  # whose decoder makes a whole frame of half a one
            return packet.size < mp3_frame_bytes(bytes(packet)[:4], self.sample_rate_hz)
        if self._format in _LOOSE:  # behind the frames may stand a tag
            return failed and bytes(packet)[:1] == b"\xff"
        return failed or packet.is_corrupt

    def _note(self, at_s: float) -> None:
        self._trouble = self._trouble or f"is damaged at {at_s:.2f} s: what stands there cannot be decoded"

    def trouble(self, heard_s: float) -> str:
        """Once all blocks were taken: what is wrong with the source, in words that follow its name; "" if nothing."""
        if not heard_s and self._format == "mov" and self._source.size is None:
            return "is an MP4 whose index stands at its end, where a pipe cannot be read from: give the file"
        if not heard_s:
            return self._trouble or f"is empty: a {self._format.upper()} header without samples"
        if self._trouble:
            return self._trouble
        given = self._given
        told = f"{heard_s:.2f} s of audio"
        if isinstance(given, WavBytes) and given.missing:
            promised_s = heard_s * (given.given + given.missing) / given.given
            return f"is truncated: {told} where it promises {promised_s:.2f} s"
        if given is not None and given.trouble:
            return f"is {given.trouble}, after {told}" if isinstance(given, OggBytes) else given.trouble
        promised_s = 0.0 if given is not None else (self.promised or 0) / self.sample_rate_hz
        slack_s = _SLACK_S.get(self._format, 0.0) + 0.0005
        if heard_s + slack_s < promised_s < heard_s + _BELIEVED_MISSING_S and self._format != "matroska":
            return f"is truncated: {told} where it promises {promised_s:.2f} s"
        if self._cut:
            return f"is truncated: it ends inside a frame, after {told}"
        if self._source.end() < (self._whole_bytes or 0):
            return f"is truncated: {told}, and more is promised"
        if self._format in _ALONE and another_begins(self._source):
            return "holds another recording behind the first, which was not read: give each its own file"
        return ""


def _decoded(packet: Packet) -> tuple[list[AudioFrame], bool]:
    """The frames of a packet, and whether it could not be decoded."""
    from av.error import FFmpegError

    try:
        return packet.decode(), False  # type: ignore[return-value]
    except FFmpegError:
        return [], True


def _packed(frame: AudioFrame) -> AudioFrame:
    """The same samples with those of all channels side by side."""
    from av import AudioResampler

    (packed,) = AudioResampler(frame.format.packed, frame.layout, frame.sample_rate).resample(frame)
    return packed


def _mono(frame: AudioFrame) -> Pcm:
    """(samples,) as the mean of the channels."""
    if frame.format.is_planar and frame.layout.nb_channels >= _PLANES:
        frame = _packed(frame)
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(frame.samples, -1).T
    if data.dtype.kind == "u":
        data = data.astype(np.float32) / 128 - 1
    elif data.dtype.kind == "i":
        data = data.astype(np.float32) / np.float32(2 ** (8 * data.dtype.itemsize - 1))
    if len(data) == 1:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(data[0], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # who reads looks whether they are numbers
        return data.mean(axis=0, dtype=np.float32)
