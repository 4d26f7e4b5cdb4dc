#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): a WAV whose samples have the higher byte first (RIFX) is decoded to noise.
# Expected: the samples that were written, or a refusal. The header is read as RIFX is: channels and rate are right.
# Seen: pcm_s16le, each sample with its bytes exchanged, no word about it. libsndfile reads the same file rightly.
# Exits with 1 if the samples come back.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet av==18.1.0 numpy==2.4.6 soundfile==0.14.0
cd "$here"
venv/bin/python - <<'PY'
import av
import numpy as np
import soundfile

written = np.random.default_rng(0).integers(-9000, 9000, 16_000, np.int16)
soundfile.write('rifx.wav', written, 16_000, 'PCM_16', 'BIG', 'WAV')
assert open('rifx.wav', 'rb').read(4) == b'RIFX'
assert (soundfile.read('rifx.wav', dtype='int16')[0] == written).all()
with av.open('rifx.wav') as container:
    stream = container.streams.audio[0]
    print(stream.codec_context.name, stream.codec_context.sample_rate, 'Hz', stream.codec_context.channels, 'channel')
    read = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(stream)])
raise SystemExit(0 if (read == written.byteswap()).all() else 1)
PY
