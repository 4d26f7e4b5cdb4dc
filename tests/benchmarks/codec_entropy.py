"""Bits that entropy coding saves: `python tests/benchmarks/codec_entropy.py MANIFEST... [--split S] [--limit N]`.

For each manifest, rate and length of packet: the share of the codes' bits that is saved (headers aside, the shorter of
both forms as on the wire), and CPU time of coding and of decoding over the audio's. Every packet is decoded and must
give back the same codes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from streamst.audio import read_audio
from streamst.codecs.bitstream import CHECK, HEADER, Packet, pack, packet_bytes, unpack
from streamst.codecs.catalog import open_codec
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.evaluate.log.manifest import read_manifest

FRAME_S = 0.02
PACKET_FRAMES = (5, 50)


def measured(codec: NeuralSpeechCodec, codes: list[np.ndarray], frames: int) -> tuple[float, float, float]:
    """Share of bits saved, real-time factors of coding and decoding, in packets of so many frames."""
    plain = coded = 0
    spent = [0.0, 0.0]
    for clip in codes:
        for at in range(0, len(clip), frames):
            piece = clip[at : at + frames]
            began_s = time.process_time()
            packet = pack(Packet(piece), codec.entropy)
            between_s = time.process_time()
            back = unpack(packet, codec.entropy).codes
            spent[1] += time.process_time() - between_s
            spent[0] += between_s - began_s
            if not np.array_equal(back, piece):
                raise SystemExit("a packet did not give back its codes")
            plain += packet_bytes(*piece.shape) - HEADER.size - CHECK.size
            coded += len(packet) - HEADER.size - CHECK.size
    audio_s = sum(map(len, codes)) * FRAME_S
    return 1 - coded / plain, spent[0] / audio_s, spent[1] / audio_s


def main() -> None:
    """Print a line for each manifest, rate and length of packet."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("manifests", type=Path, nargs="+")
    arguments.add_argument("--split", default=None)
    arguments.add_argument("--limit", type=int, default=8)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    codec = open_codec("neural", coded=True)
    assert isinstance(codec, NeuralSpeechCodec)
    for manifest in options.manifests:
        clips = [read_audio(clip.path) for clip in read_manifest(manifest, options.limit, options.split).clips]
        seconds = sum(map(len, clips)) / codec.sample_rate_hz
        print(f"{manifest}: {len(clips)} recordings, {seconds:.0f} s", flush=True)
        for bitrate, codebooks in zip(codec.bitrates_bps, codec.codebook_counts, strict=True):
            codes = []
            for pcm in clips:
                whole = pcm[: len(pcm) // codec.hop_samples * codec.hop_samples]
                codes.append(codec.codes(torch.from_numpy(whole)[None], codebooks, codec.encoder_state())[0][0])
            for frames in PACKET_FRAMES:
                saved, coding, decoding = measured(codec, codes, frames)
                print(
                    f"  {bitrate} bit/s, packets of {frames * FRAME_S:.1f} s: {saved:.1%} saved, "
                    f"coding {coding:.3f} and decoding {decoding:.3f} of real time",
                    flush=True,
                )


if __name__ == "__main__":
    main()
