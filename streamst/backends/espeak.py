"""The voices of eSpeak NG, a program that has to be installed: robotic and quick, in a hundred languages."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import soundfile

from streamst.audio import Pcm
from streamst.backends.phrases import PhraseVoice
from streamst.errors import InputError, UnavailableError

WORDS_A_MINUTE = 165
TIMEOUT_S = 30.0


def espeak_voice(language: str = "de") -> PhraseVoice:
    """eSpeak's voice of `language`. UnavailableError without the program, InputError for a language it lacks."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise UnavailableError("espeak-ng is not installed; get it with: apt install espeak-ng (or brew, choco)")

    def synthesise(text: str, rate: float) -> Pcm:
        return _run(program, language, text, rate)[0]

    return PhraseVoice(synthesise, _run(program, language, "a", 1.0)[1], language)


def _run(program: str, language: str, text: str, rate: float) -> tuple[Pcm, int]:
    """The samples of `text` and their rate."""
    command = [program, "-v", language, "-s", str(round(WORDS_A_MINUTE * rate)), "--stdin", "--stdout"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise InputError(f"espeak-ng cannot speak {language!r}: {' '.join(reason) or 'it said nothing'}")
    pcm, rate_hz = soundfile.read(io.BytesIO(_sized(done.stdout)), dtype="float32")
    return np.asarray(pcm, np.float32), int(rate_hz)


def _sized(wav: bytes) -> bytes:
    """A WAV from a pipe does not know its length: write it into its two headers."""
    data = wav.index(b"data")
    fixed = bytearray(wav)
    fixed[4:8] = (len(wav) - 8).to_bytes(4, "little")
    fixed[data + 4 : data + 8] = (len(wav) - data - 8).to_bytes(4, "little")
    return bytes(fixed)
