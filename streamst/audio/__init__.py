"""Audio: files in blocks, PCM, resampling in streams, WAV files that grow while they are written."""

from .files import AudioInfo, known_length_s, length_s, probe, read_audio, read_blocks, recordings
from .lossless import from_flac, to_flac
from .pcm import SAMPLE_RATE_HZ, Pcm, Resampler, from_pcm16, resample, to_pcm16
from .wav import WavWriter, write_wav

__all__ = [
    "SAMPLE_RATE_HZ",
    "AudioInfo",
    "Pcm",
    "Resampler",
    "WavWriter",
    "from_flac",
    "from_pcm16",
    "known_length_s",
    "length_s",
    "probe",
    "read_audio",
    "read_blocks",
    "recordings",
    "resample",
    "to_flac",
    "to_pcm16",
    "write_wav",
]
