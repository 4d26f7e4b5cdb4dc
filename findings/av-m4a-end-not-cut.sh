#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): AAC in an M4A is not cut at its end, where its own edit list says it ends.
# Expected: as many samples as were written: the file knows them (the track's duration is 4.0 s to the sample), FFmpeg cuts
# the encoder's delay at the beginning by the same list, and cuts both ends of MP3 and of Opus in Ogg.
# Seen: 64,512 samples where 64,000 were written and are promised; MP3 and Ogg Opus give 4.0 s exactly. Joined pieces of a
# talk drift by up to one AAC frame each. Exits with 1 if M4A is cut as well.
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


def ends(container_name, codec, rate):
    '''Seconds that come out of four, and that the track says it lasts.'''
    file, samples = io.BytesIO(), np.random.default_rng(0).integers(-3000, 3000, 4 * rate, np.int16)
    with av.open(file, 'w', format=container_name) as container:
        stream = container.add_stream(codec, rate=rate, layout='mono')
        for begin in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + 1024], 's16', 'mono')
            frame.sample_rate, frame.pts = rate, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        stream = container.streams.audio[0]
        came = sum(frame.samples for frame in container.decode(stream)) / rate
        return came, float(stream.duration * stream.time_base)


seen = {name: ends(*name.split()[:2], int(name.split()[2])) for name in ('ipod aac 16000', 'mp3 libmp3lame 16000', 'ogg libopus 48000')}
for name, (came_s, lasts_s) in seen.items():
    print(f'{name}: {came_s} s come out, the track says {lasts_s} s')
assert seen['mp3 libmp3lame 16000'][0] == seen['ogg libopus 48000'][0] == 4.0
came_s, lasts_s = seen['ipod aac 16000']
raise SystemExit(0 if lasts_s == 4.0 and came_s > 4.02 else 1)
PY
