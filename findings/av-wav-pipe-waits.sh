#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): a WAV that is still being made is held back until 64 kB have come.
# Expected: with probesize=32 and analyzeduration=0 the first frame comes as soon as a few samples are there, as it does
# for the very same samples in an AU file: both headers say all that there is to know.
# Seen: AU after 2 kB, WAV after 65.6 kB whatever the options: two seconds at 16 kHz, 16 bits, mono. (The demuxer looks
# whether the samples are DTS or S/PDIF in disguise.) Exits with 1 if WAV comes as early as AU.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet av==18.1.0 numpy==2.4.6
cd "$here"
venv/bin/python - <<'PY'
import struct

import av
import numpy as np

pcm = np.random.default_rng(0).integers(-9000, 9000, 96_000, np.int16)
wav = b'RIFF' + b'\xff' * 4 + b'WAVEfmt ' + struct.pack('<IHHIIHH', 16, 1, 1, 16_000, 32_000, 2, 16)
wav += b'data' + b'\xff' * 4 + pcm.astype('<i2').tobytes()
au = struct.pack('>4sIIIII', b'.snd', 24, 0xFFFFFFFF, 3, 16_000, 1) + pcm.astype('>i2').tobytes()


class Pipe:
    '''Gives 200 bytes a call, as somebody who speaks does.'''

    def __init__(self, data):
        self.data, self.at = data, 0

    def read(self, count):
        self.at += 200
        return self.data[self.at - 200 : self.at]


came = {}
for name, data in (('wav', wav), ('au', au)):
    pipe = Pipe(data)
    with av.open(pipe, options={'probesize': '32', 'analyzeduration': '0'}) as container:
        next(container.decode(audio=0))
        came[name] = pipe.at
print('bytes read before the first frame:', came)
assert came['au'] < 8_000, 'AU was early'
raise SystemExit(0 if came['wav'] > 60_000 else 1)
PY
