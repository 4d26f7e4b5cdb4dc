"""EnCodec in streams: against the `encodec` package's own output, chunked against offline, slots, packets, weights.

`encodec_small.npz` holds a small model of the package with random weights and what the package made of noise with it,
with its own mirrored padding and with zeros. Where the package is installed, the full architecture is compared, too.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import peer_audio
import pytest
import torch
from torch import Tensor

from streamst.codecs.encodec import CHECKPOINT, Encodec, EncodecConfig, StackState
from streamst.codecs.encodec_stream import EncodecSpeechCodec
from streamst.errors import CheckpointError, InputError, UnavailableError

SMALL = EncodecConfig(filters=4, ratios=(4, 2), dimension=8, codebooks=3, codebook_size=16)
HOP = 8
GOLDEN = dict(np.load(Path(__file__).parent / "data/encodec_small.npz"))
WEIGHTS = {name.removeprefix("weights/"): torch.from_numpy(v) for name, v in GOLDEN.items() if "weights/" in name}
MIRRORED_FRAMES = 24  # until the small model has forgotten how its first inputs were padded

SHAPES = ["small", *(["published"] if find_spec("encodec") else [])]


def golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


@pytest.fixture(scope="module")
def small() -> Encodec:
    module = Encodec(SMALL).eval()
    module.load_published(WEIGHTS)
    return module


def package_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's full architecture, random weights, zeros in place of its mirrored padding."""
    package = peer_audio.encodec(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = package.EncodecModel._get_model([1.5, 3.0, 6.0, 12.0, 24.0], 24_000, 1, causal=True).eval()
    for module in model.modules():
        if type(module).__name__ == "SConv1d":
            module.pad_mode = "constant"
    for name, value in model.state_dict().items():
        if name.endswith(".embed"):
            value.copy_(torch.randn_like(value) * 0.2)
    return model


@torch.inference_mode()
def test_latents_codes_and_samples_are_the_packages_with_zeros_before_the_first_sample(small: Encodec) -> None:
    latents = small.encode(golden("pcm"))
    torch.testing.assert_close(latents, golden("constant/latents"), atol=1e-5, rtol=0)
    codes = small.quantise(golden("constant/latents"))
    assert torch.equal(codes, golden("constant/codes").long())
    samples = small.decode(small.dequantise(codes))
    torch.testing.assert_close(samples, golden("constant/samples"), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_mirrored_padding_changes_the_first_frames_only(small: Encodec) -> None:
    latents, published = small.encode(golden("pcm")), golden("reflect/latents")
    assert float((latents - published)[:, 0].abs().max()) > 1e-2
    rest = slice(MIRRORED_FRAMES, None)
    torch.testing.assert_close(latents[:, rest], published[:, rest], atol=1e-4, rtol=0)


def in_chunks(module: Encodec, pcm: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Latents and samples, the chunks of `sizes` frames going through both halves one after the other."""
    batch, hop = len(pcm), module.config.hop_samples
    encoder, decoder = module.encoder.init_state(batch), module.decoder.init_state(batch)
    latents, samples = [], []
    for piece in pcm.split([hop * size for size in sizes], 1):
        found, encoder = module.encode_step(piece, encoder)
        said, decoder = module.decode_step(found, decoder)
        latents.append(found)
        samples.append(said)
    return torch.cat(latents, 1), torch.cat(samples, 1)


def pieces(total: int, seed: int, largest: int) -> list[int]:
    """Random sizes, 0 among them, that add up to `total`."""
    rng, sizes = np.random.default_rng(seed), list[int]()
    while sum(sizes) < total:
        sizes.append(min(int(rng.integers(0, largest + 1)), total - sum(sizes)))
    return sizes


@torch.inference_mode()
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("largest", [1, 2, 17])
def test_any_chunking_equals_offline(small: Encodec, batch: int, largest: int) -> None:
    torch.manual_seed(batch)
    pcm = torch.randn(batch, 300 * HOP) * 0.3
    latents, samples = in_chunks(small, pcm, pieces(300, largest, largest))
    torch.testing.assert_close(latents, small.encode(pcm), atol=1e-4, rtol=0)
    torch.testing.assert_close(samples, small.decode(small.encode(pcm)), atol=1e-4, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("shape", SHAPES)
def test_the_streamed_architecture_equals_the_packages_offline_one(
    shape: str, small: Encodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shape == "small":
        module, pcm = small, golden("pcm")
        latents, samples = golden("constant/latents"), golden("constant/samples")
    else:
        model = package_model(monkeypatch)
        module = Encodec().eval()
        module.load_published(model.state_dict())
        pcm = torch.randn(2, 30 * 320) * 0.1
        latents = model.encoder(pcm[:, None]).transpose(1, 2)
        model.set_target_bandwidth(6.0)
        ((codes, _),) = model.encode(pcm[:, None])
        assert torch.equal(module.quantise(latents, 8), codes.transpose(1, 2))
        samples = model.decode([(codes, None)])[:, 0]
    encoder, decoder = module.encoder.init_state(2), module.decoder.init_state(2)
    found, said = [], []
    stages = 3 if shape == "small" else 8
    for piece in pcm.split(6 * module.config.hop_samples, 1):
        some, encoder = module.encode_step(piece, encoder)
        heard, decoder = module.decode_step(module.dequantise(module.quantise(some, stages)), decoder)
        found.append(some)
        said.append(heard)
    torch.testing.assert_close(torch.cat(found, 1), latents, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(said, 1), samples, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_no_frame_depends_on_later_samples(small: Encodec) -> None:
    pcm = golden("pcm")
    changed = pcm.clone()
    changed[:, 40 * HOP] += 0.5
    one, other = small.encode(pcm), small.encode(changed)
    assert torch.equal(one[:, :40], other[:, :40])
    assert not torch.allclose(one[:, 40], other[:, 40], atol=1e-3)


@torch.inference_mode()
def test_slots_are_sessions_that_move_and_are_used_again(small: Encodec) -> None:
    a, b = golden("pcm").split(1)
    pool = small.encoder.init_state(4)
    found: dict[int, list[Tensor]] = {1: [], 3: []}
    for row, pcm, start in ((1, a, 0), (3, b, 0), (3, b, 48), (1, a, 48)):
        some, after = small.encode_step(pcm[:, start * HOP : (start + 48) * HOP], pool.select([row]))
        pool = pool.assign([row], after)
        found[row].append(some)
    assert isinstance(pool, StackState)
    torch.testing.assert_close(torch.cat(found[1], 1), small.encode(a), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(found[3], 1), small.encode(b), atol=1e-4, rtol=0)
    fresh, _ = small.encode_step(b, pool.reset([1]).select([1]))
    torch.testing.assert_close(fresh, small.encode(b), atol=1e-4, rtol=0)
    first, state = small.decode_step(small.encode(a), small.decoder.init_state(1))
    again, _ = small.decode_step(small.encode(a), state.reset([0]))
    torch.testing.assert_close(again, first, atol=1e-4, rtol=0)


def test_packets_carry_the_offline_codes_in_any_pieces(small: Encodec) -> None:
    codec = EncodecSpeechCodec(small)
    pcm = golden("pcm")[0].numpy()[:-3]
    encoder, decoder = codec.encoder(), codec.decoder()
    packets = [encoder.push(piece) for piece in np.array_split(pcm, 31)] + [encoder.flush()]
    heard = np.concatenate([decoder.push(packet) for packet in packets])
    with torch.inference_mode():
        codes = small.quantise(small.encode(torch.from_numpy(pcm)[None]), 2)
        expected = small.decode(small.dequantise(codes))[0].numpy()
    assert len(heard) == 96 * HOP
    np.testing.assert_allclose(heard, expected, atol=1e-4)
    assert decoder.next_frame == 96


def test_the_published_rates_are_offered() -> None:
    torch.manual_seed(1)
    config = EncodecConfig(filters=2, dimension=2)
    codec = EncodecSpeechCodec(Encodec(config))
    assert codec.bitrates_bps == (1500, 3000, 6000, 12_000, 24_000)
    assert (codec.frame_hz, codec.sample_rate_hz, codec.latency_samples) == (75, 24_000, 320)
    with pytest.raises(InputError, match="2000 bit/s; allowed: 1500, 3000"):
        codec.encoder(2000)


def test_fractions_of_a_frame_and_codes_that_do_not_exist_are_refused(small: Encodec) -> None:
    with pytest.raises(InputError, match="9 samples are not a whole number of frames of 8"):
        small.encode_step(torch.zeros(1, 9), small.encoder.init_state(1))
    for bad in (torch.full((1, 2, 3), 16), torch.full((1, 2, 3), -1)):
        with pytest.raises(InputError, match="a codebook has 0 to 15"):
            small.dequantise(bad)
    with pytest.raises(InputError, match="4 codebooks; this codec has 1 to 3"):
        small.dequantise(torch.zeros(1, 2, 4, dtype=torch.int64))


def test_weights_come_from_a_path_and_damage_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UnavailableError, match="pip install encodec"):
        Encodec.load()
    damaged = tmp_path / CHECKPOINT
    damaged.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="not d7cc33bc"):
        Encodec.load(damaged)
    other = tmp_path / "encodec.th"
    torch.save({name: value for name, value in WEIGHTS.items() if "lstm" not in name}, other)
    with pytest.raises(CheckpointError, match="not EnCodec's"):
        Encodec.load(other)
    other.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        Encodec.load(other)
