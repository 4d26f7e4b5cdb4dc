"""Where synthetic speech lies on the listener's timeline: writing it to a file beside the original."""

from __future__ import annotations

from streamst.audio import WavWriter
from streamst.events import Speech


class PlaybackWriter:
    """Writes a session's speech to a WAV file.

    Aligned, as a listener of the live stream hears it: each piece begins when it was said (its `source_ms`), or when
    the piece before it has ended, so that nothing overlaps and the file can be played beside the original. Contiguous:
    without the silences. Computing time is left out of both, so that a file is the same on every machine.
    """

    def __init__(self, file: WavWriter, aligned: bool = True) -> None:
        self._file, self._aligned = file, aligned
        self._samples = 0

    def add(self, speech: Speech) -> None:
        """Write one piece; it must have the file's rate."""
        assert speech.sample_rate_hz == self._file.sample_rate_hz, "the file was opened with the voice's rate"
        if not len(speech.pcm):
            return
        if self._aligned:
            self._file.pad_to(round(speech.source_ms * speech.sample_rate_hz / 1000))
        self._file.write(speech.pcm)
        self._samples += len(speech.pcm)

    @property
    def spoken_s(self) -> float:
        """Length of the speech without the silences [s]."""
        return self._samples / self._file.sample_rate_hz
