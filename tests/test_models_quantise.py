"""A frozen encoder is the encoder, and 8 bits change little, whatever the batch and the chunk."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamst.errors import InputError
from streamst.models import offline
from streamst.models.listen.conformer import Conformer, ConformerConfig
from streamst.models.listen.recogniser import Ear
from streamst.models.quantise import FrozenEncoder, choose, freeze_writer, in_8_bits, prepare
from streamst.models.translator import SpeechTranslator
from streamst.models.write.beam import search
from streamst.models.write.decoding import TensorDecoder
from streamst.models.write.greedy import Draft, write
from streamst.models.write.network import Writer
from streamst.nn.packing import from_bytes, to_bytes

CONFIG = ConformerConfig(bands=16, dim=32, layers=2, heads=2, kernel=5, max_distance=6, left_frames=6, middle=1)


@pytest.fixture(scope="module")
def encoder() -> Conformer:
    torch.manual_seed(0)
    return Conformer(CONFIG).eval()


@pytest.fixture(scope="module")
def frozen(encoder: Conformer) -> FrozenEncoder:
    return FrozenEncoder(encoder)


@pytest.mark.parametrize(("rows", "chunk"), [(1, 1), (1, 4), (3, 2), (5, 8), (2, 20)])
@torch.inference_mode()
def test_one_graph_serves_every_batch_and_chunk(
    encoder: Conformer, frozen: FrozenEncoder, rows: int, chunk: int
) -> None:
    x = torch.randn(rows, 8 * chunk * 6, 16)
    before, after = encoder.init_state(rows), frozen.init_state(rows)
    for piece in x.split(8 * chunk, 1):
        expected, before = encoder.step(piece, before)
        y, after = frozen.step(piece, after)
        assert torch.allclose(y, expected, atol=1e-5)
    for own, other in zip(after.tensors(), before.tensors(), strict=True):
        assert own.dtype == other.dtype
        assert torch.allclose(own.float(), other.float(), atol=1e-5)


def test_a_frozen_encoder_refuses_what_the_encoder_refuses(encoder: Conformer, frozen: FrozenEncoder) -> None:
    for model in (encoder, frozen):
        with pytest.raises(ValueError, match="25"):
            model.step(torch.zeros(1, 25, 16), model.init_state(1))


@torch.inference_mode()
def test_weights_of_8_bits_change_the_states_by_a_few_percent(encoder: Conformer) -> None:
    small = in_8_bits(encoder)
    x = torch.randn(1, 64, 16)
    exact, near = encoder(x)[0], small(x)[0]
    assert 0 < float((near - exact).norm() / exact.norm()) < 0.1
    assert encoder(x)[0].equal(exact)  # the original stays


@pytest.mark.parametrize("precision", ["frozen", "int8"])
def test_a_translator_serves_in_every_precision(tiny_translator: SpeechTranslator, precision: str) -> None:
    exact = tiny_translator
    fast = SpeechTranslator(
        exact.config,
        copy.deepcopy(exact.listener),
        copy.deepcopy(exact.writer),
        exact.source_tokenizer,
        exact.target_tokenizer,
    )
    prepare(fast, choose(precision, "cpu"))
    rng = np.random.default_rng(0)
    pcm = (0.1 * rng.standard_normal(40_000)).astype(np.float32)
    states = [offline.hear(t.recogniser, pcm, 320) for t in (exact, fast)]
    assert states[0].frames == states[1].frames
    said = [offline.write(t.recogniser, t.pen, s, "de") for t, s in zip((exact, fast), states, strict=True)]
    if precision == "frozen":
        assert states[0].tokens == states[1].tokens
        assert said[0].tokens == said[1].tokens
    packed = from_bytes(Ear, to_bytes(states[1]), fast.recogniser.init_state())
    assert packed.tokens == states[1].tokens


def test_what_auto_means_and_what_is_refused() -> None:
    assert choose("auto", "cpu") == "frozen"
    assert choose("auto", "cuda") == "float32"
    assert choose("float32", "cuda") == "float32"
    with pytest.raises(InputError, match=r"'fp8'.*auto, float32, frozen, int8, onnx"):
        choose("fp8", "cpu")
    with pytest.raises(InputError, match="'int8' is for the CPU"):
        choose("int8", "cuda")


@pytest.mark.parametrize("placed", [False, True])
def test_a_frozen_writer_writes_what_the_plain_one_does_alone_and_with_others(
    tiny_translator: SpeechTranslator, placed: bool
) -> None:
    plain = tiny_translator.writer
    if placed:
        torch.manual_seed(3)
        plain = Writer(replace(plain.config, positions=True)).eval().requires_grad_(False)
    frozen = copy.deepcopy(plain)
    freeze_writer(frozen)
    assert frozen.graphs is not None
    generator = torch.Generator().manual_seed(4)
    sizes = (3, 9, 1, 6)
    memory = torch.randn(len(sizes), max(sizes), plain.config.dim, generator=generator)
    hidden = torch.arange(max(sizes)) >= torch.tensor(sizes)[:, None]
    drafts = [Draft((), 9), Draft((7, 8, 9), 6), Draft((5,), 2), Draft((), 0)]
    together = [write(TensorDecoder(one), one.begin(memory, hidden), drafts) for one in (plain, frozen)]
    for row, (one, other) in enumerate(zip(*together, strict=True)):
        own = plain.begin(memory[row : row + 1, : sizes[row]], hidden[row : row + 1, : sizes[row]])
        alone = write(TensorDecoder(plain), own, [drafts[row]])[0]
        assert one.tokens == other.tokens == alone.tokens
        assert one.finished == other.finished == alone.finished
        assert np.allclose(one.attention, other.attention, atol=1e-5)
        assert np.allclose(one.attention[:, : sizes[row]], alone.attention, atol=1e-5)
        assert torch.allclose(torch.tensor(one.log_probs), torch.tensor(other.log_probs), atol=1e-4)
    assert sum(len(found.tokens) for found in together[0]) > 0


@torch.no_grad()
def test_a_writer_in_8_bits_writes_the_same_alone_and_with_others(tiny_translator: SpeechTranslator) -> None:
    plain, quick = tiny_translator.writer, copy.deepcopy(tiny_translator.writer)
    quick.quicken()
    freeze_writer(quick)
    sources = [[1, 5, 9, 7, 2], [1, 4, 6, 8, 12, 20, 3, 2], [1, 30]]
    tokens = torch.tensor([[*one, *[2] * (8 - len(one))] for one in sources])
    hidden = torch.arange(8) >= torch.tensor([len(one) for one in sources])[:, None]
    drafts = [Draft((), 9, beams=3), Draft((7, 8, 9), 6, beams=3), Draft((5,), 4, beams=2)]
    memory = quick.memory(tokens, hidden)
    decoder = TensorDecoder(quick)
    together = search(decoder, quick.begin(memory, hidden), drafts)
    for row, (one, draft) in enumerate(zip(together, drafts, strict=True)):
        size = len(sources[row])
        own, none = tokens[row : row + 1, :size], torch.zeros(1, size, dtype=torch.bool)
        alone = search(decoder, quick.begin(quick.memory(own, none), none), [draft])[0]
        assert alone.tokens == one.tokens
        assert torch.allclose(torch.tensor(alone.log_probs), torch.tensor(one.log_probs), atol=1e-4)
    said, _, _ = plain.step(tokens[:, :1], plain.begin(plain.memory(tokens, hidden), hidden))
    near, _, _ = quick.step(tokens[:, :1], quick.begin(memory, hidden))
    right, found = plain.logits(said), quick.logits(near)
    assert float((right - found).norm() / right.norm()) < 0.25
    assert not torch.equal(right, found)
