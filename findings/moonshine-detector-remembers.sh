#!/usr/bin/env bash
# moonshine-voice 0.1.0: where `transcribe_without_streaming` hears speech depends on what the call before heard.
# Expected: the same samples, given whole and without a stream, are found to be spoken in the same places each time.
# Seen: the detector goes on from the call before. Three seconds that end in mid-word, heard twice, begin the second time with
# a line of speech that is the end of the first call; who cuts the audio there gets other words, too.
# Two seconds of silence in between take that line away; speech begins 32 ms later than at first all the same, and with a
# stream of its own for each call, too. Exits with 1 if both calls agree.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet moonshine-voice==0.1.0 numpy==2.4.6 soundfile==0.13.1 soxr==1.0.0
cd "$here"
cat > twice.py <<'PY'
import sys
from pathlib import Path

import moonshine_voice
import numpy as np
import soundfile
import soxr
from moonshine_voice.moonshine_api import string_to_model_arch
from moonshine_voice.transcriber import Transcriber

assets = Path(moonshine_voice.__file__).parent / 'assets'
pcm, rate_hz = soundfile.read(assets / 'two_cities.wav', dtype='float32')
pcm = np.asarray(soxr.resample(pcm, rate_hz, 16_000), np.float32)[: 3 * 16_000]
options = {'return_audio_data': 'false', 'skip_transcription': 'true'}
model = Transcriber(assets / 'tiny-en', string_to_model_arch('tiny'), options=options)


def spoken():
    """Where speech begins and how long it lasts [s]."""
    return [(round(line.start_time, 3), round(line.duration, 3)) for line in model.transcribe_without_streaming(pcm, 16_000).lines]


first, second = spoken(), spoken()
model.transcribe_without_streaming(np.zeros(2 * 16_384, np.float32), 16_000)
third = spoken()
print(f'first {first}\nsecond {second}\nafter silence {third}')
sys.exit(first == second)
PY
venv/bin/python twice.py
