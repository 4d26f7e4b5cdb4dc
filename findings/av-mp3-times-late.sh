#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): the times of MP3 frames begin late, though the encoder's delay has been cut off.
# Expected: the first sample of an MP3 that libmp3lame wrote has time 0: its Info frame tells the delay and the padding, and
# exactly the samples that were written come out, the first where it was.
# Seen: 64,000 of 64,000 samples at 16 kHz, in frames whose times run from 0.0691 s to 4.0691 s in a stream that says it
# lasts 4.0 s: the delay (1105 samples) is taken off the sound and left in the times. Who cuts or mixes by time is late.
# Exits with 1 if the first frame has time 0.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet av==18.1.0 numpy==2.4.6
cd "$here"
venv/bin/python - <<'PY'
import io

import av
import numpy as np

rate, file = 16_000, io.BytesIO()
tone = (9_000 * np.sin(np.arange(4 * rate) / 6) * (np.arange(4 * rate) > rate)).astype(np.int16)  # silent for one second
with av.open(file, 'w', format='mp3') as container:
    stream = container.add_stream('libmp3lame', rate=rate, layout='mono')
    for begin in range(0, len(tone), 1024):
        frame = av.AudioFrame.from_ndarray(tone[None, begin : begin + 1024], 's16', 'mono')
        frame.sample_rate, frame.pts = rate, begin
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
file.seek(0)
with av.open(file) as container:
    stream = container.streams.audio[0]
    frames = list(container.decode(stream))
    lasts_s = float(stream.duration * stream.time_base)
samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
begins_s = int(np.argmax(np.abs(samples) > 0.05)) / rate
first_s, end_s = frames[0].time, frames[-1].time + frames[-1].samples / rate
print(f'{len(samples)} samples; the tone begins {begins_s:.3f} s after the first one; the stream lasts {lasts_s} s')
print(f'times from {first_s:.4f} s to {end_s:.4f} s')
assert len(samples) == len(tone)
assert abs(begins_s - 1) < 0.01, 'the samples are where they were'
raise SystemExit(0 if first_s > 0.06 else 1)
PY
