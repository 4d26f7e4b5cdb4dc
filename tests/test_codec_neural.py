"""The neural codec: streamed equals offline, packets, rates, damage."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from streamst.codecs.neural import CodecDecoder, CodecEncoder, NeuralCodec, NeuralCodecConfig
from streamst.codecs.neural_stream import FADE_FRAMES, NeuralSpeechCodec
from streamst.errors import CheckpointError, InputError

HOP = 320
TINY = NeuralCodecConfig(
    encoder_dim=16, encoder_blocks=2, decoder_dim=16, decoder_blocks=2, pulse_taps=24, noise_taps=12, codebooks=6
)


def speechlike(batch: int, seconds: float, seed: int = 0) -> Tensor:
    """Gliding harmonics and noise by turns (B, S)."""
    rng = np.random.default_rng(seed)
    n = round(seconds * 16_000)
    rows = []
    for _ in range(batch):
        hz = 120 * 2 ** np.sin(np.arange(n) / 16_000 * rng.uniform(2, 4))
        phase = np.cumsum(hz / 16_000) * 2 * np.pi
        voiced = sum(np.sin(k * phase) / k for k in range(1, 12)) * 0.08
        gate = np.sin(np.arange(n) / 16_000 * rng.uniform(8, 14)) > -0.3
        rows.append(np.where(gate, voiced, 0) + rng.standard_normal(n) * 0.01)
    return torch.tensor(np.stack(rows), dtype=torch.float32)


@pytest.fixture(scope="module")
def codec() -> NeuralCodec:
    torch.manual_seed(2)
    module = NeuralCodec(TINY).eval()
    torch.nn.init.normal_(module.decoder.outward.weight, std=0.1)  # filters that differ from frame to frame
    return module


@pytest.fixture(scope="module")
def speech(codec: NeuralCodec) -> NeuralSpeechCodec:
    return NeuralSpeechCodec(codec)


def pieces(total: int, seed: int, largest: int) -> list[int]:
    """Random sizes, 0 among them, that add up to `total`."""
    rng = np.random.default_rng(seed)
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(min(int(rng.integers(0, largest + 1)), total - sum(sizes)))
    return sizes


def encoded_in_chunks(encoder: CodecEncoder, pcm: Tensor, sizes: list[int]) -> Tensor:
    state, out = encoder.init_state(pcm.shape[0]), []
    for piece in pcm.split([HOP * size for size in sizes], 1):
        latents, state = encoder.step(piece, state)
        out.append(latents)
    return torch.cat(out, 1)


def decoded_in_chunks(decoder: CodecDecoder, latents: Tensor, sizes: list[int]) -> Tensor:
    state, out = decoder.init_state(latents.shape[0]), []
    for piece in latents.split(sizes, 1):
        samples, state = decoder.step(piece, state)
        out.append(samples)
    return torch.cat(out, 1)


@torch.inference_mode()
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("largest", [1, 13])
def test_a_chunked_encoder_equals_offline(codec: NeuralCodec, batch: int, largest: int) -> None:
    pcm = speechlike(batch, 5)
    chunked = encoded_in_chunks(codec.encoder, pcm, pieces(250, batch, largest))
    torch.testing.assert_close(chunked, codec.encoder(pcm), atol=1e-4, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize(("batch", "frames"), [(1, 250), (8, 250), (1, 540)], ids=["one", "eight", "past the noise"])
@pytest.mark.parametrize("largest", [1, 13])
def test_a_chunked_decoder_equals_offline(codec: NeuralCodec, batch: int, frames: int, largest: int) -> None:
    torch.manual_seed(frames)
    latents = torch.randn(batch, frames, 64)
    offline = codec.decode(latents)
    assert offline.shape == (batch, frames * HOP)
    assert 0.01 < float(offline.std()) < 1
    chunked = decoded_in_chunks(codec.decoder, latents, pieces(frames, batch, largest))
    torch.testing.assert_close(chunked, offline, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_no_latent_depends_on_later_samples_and_no_sample_on_later_latents(codec: NeuralCodec) -> None:
    pcm = speechlike(1, 1)
    changed = pcm.clone()
    changed[:, 20 * HOP] += 0.5
    latents, other = codec.encode(pcm), codec.encode(changed)
    assert torch.equal(latents[:, :20], other[:, :20])
    assert not torch.allclose(latents[:, 20], other[:, 20], atol=1e-3)
    audio = codec.decode(latents)
    later = latents.clone()
    later[:, 20:] += 1
    assert torch.allclose(codec.decode(later)[:, : 20 * HOP], audio[:, : 20 * HOP], atol=1e-6)


@torch.inference_mode()
def test_rows_are_sessions_that_interleave_move_and_start_afresh(codec: NeuralCodec) -> None:
    a, b = codec.encode(speechlike(2, 1.2)).split(1)
    decoder = codec.decoder
    pool, out = decoder.init_state(4), {1: [], 3: []}
    order = [(1, a, 0), (3, b, 0), (3, b, 30), (1, a, 30)]
    for row, latents, start in order:
        y, after = decoder.step(latents[:, start : start + 30], pool.select([row]))
        pool = pool.assign([row], after)
        out[row].append(y)
    torch.testing.assert_close(torch.cat(out[1], 1), decoder(a), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(out[3], 1), decoder(b), atol=1e-4, rtol=0)
    fresh, _ = decoder.step(b, pool.reset([1]).select([1]))
    torch.testing.assert_close(fresh, decoder(b), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_saved_and_restored_state_goes_on_as_if_nothing_happened(codec: NeuralCodec) -> None:
    latents = codec.encode(speechlike(1, 1))
    _, state = codec.decoder.step(latents[:, :23], codec.decoder.init_state(1))
    kept = iter([t.numpy().copy() for t in state.tensors()])
    restored = codec.decoder.init_state(1).map(lambda _: torch.from_numpy(next(kept)))
    rest, _ = codec.decoder.step(latents[:, 23:], state)
    again, _ = codec.decoder.step(latents[:, 23:], restored)
    assert torch.equal(rest, again)


@torch.inference_mode()
def test_the_first_latent_is_the_pitch_of_the_pulses(codec: NeuralCodec) -> None:
    latents = torch.zeros(1, 3, 64)
    latents[0, :, 0] = torch.tensor([0.0, 2.0, 50.0])
    middle = (60 * 500) ** 0.5
    assert codec.decoder.pitch_hz(latents)[0].tolist() == pytest.approx([middle, 2 * middle, 500.0])


def test_a_fraction_of_a_frame_is_refused_by_the_network(codec: NeuralCodec) -> None:
    with pytest.raises(InputError, match="321 samples are not a whole number of frames of 320"):
        codec.encoder(torch.zeros(1, 321))


@torch.inference_mode()
def test_the_pitch_survives_quantisation_at_every_rate(codec: NeuralCodec) -> None:
    latents = codec.encode(speechlike(1, 2))
    for codebooks in (1, 3, 6):
        quantised, codes = codec.quantise(latents, codebooks)
        assert codes.shape == (1, 100, codebooks)
        assert int(codes.min()) >= 0
        assert int(codes.max()) < 1024
        octaves = (codec.decoder.pitch_hz(quantised) / codec.decoder.pitch_hz(latents)).log2().abs()
        assert float(octaves.max()) < 0.013
        torch.testing.assert_close(codec.dequantise(codes), quantised, atol=1e-5, rtol=0)


@pytest.mark.parametrize("code", [-1, 1024])
@pytest.mark.parametrize("codebook", [0, 1])
def test_a_code_that_does_not_exist_is_refused(codec: NeuralCodec, code: int, codebook: int) -> None:
    codes = torch.zeros(1, 2, 2, dtype=torch.int64)
    codes[0, 1, codebook] = code
    with pytest.raises(InputError, match="code"):
        codec.dequantise(codes)


@pytest.mark.parametrize(("bitrate", "groups"), [(1500, 1), (3000, 1), (3000, 4)])
def test_packets_carry_the_quantised_latents_of_the_offline_path(
    speech: NeuralSpeechCodec, bitrate: int, groups: int
) -> None:
    if groups > 1:
        torch.manual_seed(4)
        speech = NeuralSpeechCodec(NeuralCodec(dataclasses.replace(TINY, groups=groups)))
    pcm = speechlike(1, 2.3)[0].numpy()
    encoder, decoder = speech.encoder(bitrate), speech.decoder()
    audio = []
    for piece in np.split(pcm, np.cumsum(pieces(len(pcm), 4, 2500))[:-1]):
        audio.append(decoder.push(encoder.push(piece)))
    audio.append(decoder.push(encoder.flush()))
    received = np.concatenate(audio)
    with torch.inference_mode():
        padded = torch.nn.functional.pad(torch.from_numpy(pcm)[None], (0, HOP + -len(pcm) % HOP))
        latents = speech.module.quantise(speech.module.encode(padded), bitrate // 500)[0]
        expected = speech.module.decode(latents)[0].numpy()
    assert len(received) >= len(pcm) + HOP
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_a_packet_costs_what_the_rate_says(speech: NeuralSpeechCodec) -> None:
    second = np.zeros(16_000, np.float32)
    assert speech.bitrates_bps == (1500, 3000)
    overhead_bytes = 11
    for bitrate in speech.bitrates_bps:
        assert len(speech.encoder(bitrate).push(second)) == overhead_bytes + -(-bitrate // 8)


def test_the_rate_may_change_in_mid_stream(speech: NeuralSpeechCodec) -> None:
    pcm = speechlike(1, 1)[0].numpy()
    encoder, decoder = speech.encoder(3000), speech.decoder()
    first = encoder.push(pcm[:8000])
    encoder.bitrate_bps = 1500
    second = encoder.push(pcm[8000:])
    assert len(second) < len(first)
    audio = np.concatenate([decoder.push(first), decoder.push(second)])
    with torch.inference_mode():
        latents = speech.module.encode(torch.from_numpy(pcm)[None])
        high, low = (speech.module.quantise(latents, n)[0] for n in (6, 3))
        expected = speech.module.decode(torch.cat([high[:, :25], low[:, 25:]], 1))[0].numpy()
    np.testing.assert_allclose(audio, expected, atol=1e-4)


@pytest.mark.parametrize("bitrate", [0, 2999, 6000])
def test_an_unknown_rate_names_the_allowed_ones(speech: NeuralSpeechCodec, bitrate: int) -> None:
    with pytest.raises(InputError, match=f"{bitrate} bit/s; allowed: 1500, 3000"):
        speech.encoder(bitrate)


def test_a_damaged_packet_raises_and_leaves_the_decoder_as_it_was(speech: NeuralSpeechCodec) -> None:
    encoder = speech.encoder(1500)
    packets = [encoder.push(piece) for piece in speechlike(1, 1)[0].numpy().reshape(5, -1)]
    undisturbed, decoder = speech.decoder(), speech.decoder()
    for number, packet in enumerate(packets):
        expected = undisturbed.push(packet)
        for bad in (packet[:-1], packet[:20] + bytes([packet[20] ^ 4]) + packet[21:], packet + b"\xc5"):
            with pytest.raises(InputError):
                decoder.push(bad)
        assert decoder.next_frame == 10 * number
        assert np.array_equal(decoder.push(packet), expected)


def test_a_packet_with_more_codebooks_than_the_model_is_refused(speech: NeuralSpeechCodec) -> None:
    from streamst.codecs.bitstream import Packet, pack

    with pytest.raises(InputError, match="packet of 7 codebooks; this codec has 6"):
        speech.decoder().push(pack(Packet(np.zeros((1, 7), np.int64))))


@pytest.mark.parametrize(
    "pcm", [np.array([0.0, np.nan]), np.array([np.inf]), np.zeros((2, 160))], ids=["nan", "infinite", "stereo"]
)
def test_unusable_audio_raises_and_leaves_the_encoder_as_it_was(speech: NeuralSpeechCodec, pcm: np.ndarray) -> None:
    clean, disturbed = speech.encoder(), speech.encoder()
    audio = speechlike(1, 0.5)[0].numpy()
    assert disturbed.push(audio[:500]) == clean.push(audio[:500])
    with pytest.raises(InputError):
        disturbed.push(pcm)
    assert disturbed.push(audio[500:]) == clean.push(audio[500:])


def test_lost_frames_fade_into_silence_and_the_stream_recovers(speech: NeuralSpeechCodec) -> None:
    pcm = speechlike(1, 1)[0].numpy()
    encoder, decoder = speech.encoder(3000), speech.decoder()
    assert not decoder.conceal(2).any()
    decoder.push(encoder.push(pcm[:8000]))
    encoder.push(pcm[8000 : 8000 + 10 * HOP])
    concealed = np.concatenate([decoder.conceal(1), decoder.conceal(9)])
    assert len(concealed) == 10 * HOP
    level = np.sqrt(np.mean(concealed.reshape(10, HOP) ** 2, axis=1))
    assert level[0] > 1e-3
    assert not level[FADE_FRAMES:].any()
    assert decoder.next_frame == 35 + 2 - 2
    assert np.isfinite(decoder.push(encoder.push(pcm[8000 + 10 * HOP :]))).all()


def test_flushing_an_encoder_that_heard_nothing_sends_nothing(speech: NeuralSpeechCodec) -> None:
    assert speech.encoder().flush() == b""
    assert speech.decoder().push(b"").shape == (0,)


def test_a_saved_codec_loads_and_says_the_same(codec: NeuralCodec, tmp_path: Path) -> None:
    codec.save(tmp_path / "codec")
    loaded = NeuralCodec.load(tmp_path / "codec")
    assert loaded.config == TINY
    pcm = speechlike(1, 0.5)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encode(pcm), codec.encode(pcm), atol=2e-2, rtol=0)
    weights = tmp_path / "codec" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(CheckpointError, match="SHA-256"):
        NeuralCodec.load(tmp_path / "codec")


def test_every_session_of_a_batch_sounds_as_it_does_alone(codec: NeuralCodec) -> None:
    with torch.inference_mode():
        latents = codec.encode(speechlike(5, 1, seed=3))
        together = codec.decode(latents)
        for row, alone in enumerate(itertools.chain(codec.decode(one) for one in latents.split(1))):
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_frozen_steps_say_the_same_for_any_batch_and_number_of_frames(codec: NeuralCodec) -> None:
    frozen = NeuralSpeechCodec(codec)
    frozen.freeze()
    for batch, sizes in ((1, [1, 4, 10, 3, 0, 300]), (5, [2, 7, 1])):
        pcm = speechlike(batch, sum(sizes) * 0.02)
        plain = [codec.encoder.init_state(batch), codec.decoder.init_state(batch)]
        quick = [codec.encoder.init_state(batch), codec.decoder.init_state(batch)]
        for piece in pcm.split([size * HOP for size in sizes], dim=1):
            latents, plain[0] = codec.encoder.step(piece, plain[0])  # type: ignore[arg-type, call-overload]
            samples, plain[1] = codec.decoder.step(latents, plain[1])  # type: ignore[arg-type, call-overload]
            same, quick[0] = frozen.encoder_step(piece, quick[0])  # type: ignore[arg-type, call-overload]
            heard, quick[1] = frozen.decoder_step(same, quick[1])  # type: ignore[arg-type, call-overload]
            torch.testing.assert_close(same, latents, atol=1e-6, rtol=0)
            torch.testing.assert_close(heard, samples, atol=1e-6, rtol=0)
