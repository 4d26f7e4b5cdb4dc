#!/usr/bin/env bash
# aiortc 1.16.0: an audio track whose frames are longer than 20 ms is heard by no other aiortc.
# Expected: a frame of any length may be handed over; its Opus packets get timestamps 20 ms apart (RFC 7587, section 4.1).
# Seen: a frame of 100 ms becomes five packets with one timestamp; the receiver's jitter buffer takes what has one timestamp for
# one frame and joins the five, and the decoder finds invalid data in it. Frames of 20 ms come out whole. A track of speech has
# to cut what it says into 20 ms. Exits with 1 if a frame of 100 ms comes out as well.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet aiortc==1.16.0 av==18.1.0 numpy==2.4.6
cd "$here"
venv/bin/python - <<'PY'
from fractions import Fraction

import av
import numpy as np
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

RATE = 48_000
TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.int16)


def sent(ms):
    """Packets, their timestamps, and seconds that come out of two seconds in frames of `ms`."""
    encoder, decoder, buffer = OpusEncoder(), OpusDecoder(), JitterBuffer(capacity=16)
    size, packets, stamps, heard_s = RATE * ms // 1000, 0, set(), 0.0
    for begin in range(0, len(TONE), size):
        frame = av.AudioFrame.from_ndarray(TONE[None, begin : begin + size], 's16', 'mono')
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        payloads, stamp = encoder.encode(frame)
        for payload in payloads:
            packet = RtpPacket(payload_type=96, sequence_number=packets, timestamp=stamp, payload=payload)
            packet._data = payload  # as the receiver does once it has taken the codec's header off
            packets += 1
            stamps.add(stamp)
            _, whole = buffer.add(packet)
            if whole is not None:
                try:
                    heard_s += sum(found.samples for found in decoder.decode(whole)) / RATE
                except av.error.InvalidDataError as error:
                    print(f'frames of {ms} ms: {type(error).__name__}')
    return packets, len(stamps), heard_s


short, long = sent(20), sent(100)
for ms, (packets, stamps, heard_s) in ((20, short), (100, long)):
    print(f'frames of {ms} ms: {packets} packets, {stamps} timestamps, {heard_s:.2f} s come out of 2')
assert short[0] == short[1] == 100 and short[2] > 1.9
raise SystemExit(0 if long[0] == 100 and long[1] == 20 and long[2] < 0.5 else 1)
PY
