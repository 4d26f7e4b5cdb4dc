"""The writer in ONNX Runtime: what PyTorch computes, alone and in company, in real numbers and in rows of 8 bits."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from streamst import checkpoint
from streamst.config import to_dict
from streamst.inventory import ASSETS
from streamst.models.seam import ATTENTION, Write
from streamst.models.words import HeardWord
from streamst.models.write import store
from streamst.models.write.beam import search
from streamst.models.write.decoding import TensorDecoder
from streamst.models.write.export import READ, WRITE, export_writer
from streamst.models.write.graphs import GraphDecoder
from streamst.models.write.greedy import Continuation, Draft
from streamst.models.write.network import Writer, WriterConfig
from streamst.models.write.writer import WordWriter
from streamst.nn.graph_session import WEIGHTS
from streamst.policies.base import Decoding

PEN = ASSETS / "pen"
TINY = WriterConfig(
    source_tokens=30, target_tokens=30, dim=16, heads=2, memory_layers=2, decoder_layers=3, max_distance=4
)
PROMPTED = {"prompts": ("st:de", "asr:en"), "alignment_layer": 2}
SOURCES = [[1, 5, 9, 7, 2], [1, 4, 6], [1, 3, 3, 11, 8, 20, 2]]
SENTENCES = (
    "I don't know what you mean by that.", "On the third of May it rained in Kraków, so nobody came", "yes",
    "the bridge was built in 1894 and the tower two years later.",
)  # fmt: skip


@pytest.fixture(params=[{}, {"positions": True, "shared": True}, PROMPTED], ids=str)
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Writer, GraphDecoder]:
    """A writer of random weights, in PyTorch and by graphs of real numbers."""
    torch.manual_seed(2)
    writer = Writer(replace(TINY, **request.param)).eval().requires_grad_(False)
    for parameter in writer.parameters():
        parameter.copy_((parameter + 0.2 * torch.randn_like(parameter)).half())  # as it is stored
    checkpoint.save(tmp_path, "writer", to_dict(writer.config), writer)
    export_writer(tmp_path, writer.config, "", exact=True)
    return writer, GraphDecoder(tmp_path, writer.config)


def found_by(decoder: Any, sources: list[list[int]], drafts: list[Draft]) -> list[Continuation]:
    _, state = decoder.read(sources)
    return search(decoder, state, drafts)


def test_graphs_of_real_numbers_are_the_network_alone_and_in_company(tiny: tuple[Writer, GraphDecoder]) -> None:
    writer, quick = tiny
    drafts = [Draft([4, 8], 6, beams=4), Draft([], 9, beams=3, prompt=len(writer.config.prompts) // 2), Draft([7], 5)]
    right, together = (found_by(one, SOURCES, drafts) for one in (TensorDecoder(writer), quick))
    assert sum(len(one.tokens) for one in right) > 5
    for place, (one, other) in enumerate(zip(right, together, strict=True)):
        (alone,) = found_by(quick, [SOURCES[place]], [drafts[place]])
        assert one.tokens == other.tokens == alone.tokens
        for log_probs in (other.log_probs, alone.log_probs):
            np.testing.assert_allclose(log_probs, one.log_probs, atol=1e-4)
        np.testing.assert_allclose(other.attention, one.attention, atol=1e-5)
    for mine, own in zip(TensorDecoder(writer).read(SOURCES)[0], quick.read(SOURCES)[0], strict=True):
        np.testing.assert_allclose(own, mine, atol=1e-5)


@pytest.fixture(scope="module")
def pens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WordWriter]:
    """The shipped pen in PyTorch, by graphs of real numbers and by the shipped ones."""
    exact = tmp_path_factory.mktemp("exact")
    shutil.copytree(PEN, exact, ignore=shutil.ignore_patterns("*.onnx"), dirs_exist_ok=True)
    store.export(exact, exact=True)
    made = {"torch": store.load(PEN), "exact": store.load(exact), "shipped": store.load(PEN)}
    made["exact"].by_graphs(exact)
    made["shipped"].by_graphs(PEN)
    return made


def work(sentence: str, decoding: Decoding = ATTENTION) -> Write:
    words = tuple(HeardWord(word, 10 * at, 10 * at + 9) for at, word in enumerate(sentence.split()))
    return Write(words, 10 * len(words), (), decoding == ATTENTION, "de", decoding)


def test_the_pen_writes_the_same_by_exact_graphs_and_nearly_so_in_8_bits(pens: dict[str, WordWriter]) -> None:
    written = {name: pen.write_all([work(one) for one in SENTENCES]) for name, pen in pens.items()}
    for right, exact, near in zip(*written.values(), strict=True):
        assert exact.tokens == right.tokens != ()
        np.testing.assert_allclose(exact.log_probs, right.log_probs, atol=2e-4)
        assert exact.alignment == right.alignment
        assert near.log_probs != right.log_probs
        assert sum(near.log_probs) > sum(right.log_probs) - 1


def test_the_gate_reads_the_vectors_of_the_graphs(pens: dict[str, WordWriter]) -> None:
    gated = [work(SENTENCES[0], Decoding("taed", blank_penalty=4, attention=True, writes=True))]
    right, exact = (pens[name].write_all(gated)[0] for name in ("torch", "exact"))
    assert exact.tokens == right.tokens != ()
    np.testing.assert_allclose(exact.write_probs, right.write_probs, atol=1e-4)
    np.testing.assert_allclose(exact.attention, right.attention, atol=1e-5)


def test_no_sentence_knows_of_its_company_in_8_bits(pens: dict[str, WordWriter]) -> None:
    pen = pens["shipped"]
    together = pen.write_all([work(one) for one in SENTENCES])
    for sentence, one in zip(SENTENCES, together, strict=True):
        (alone,) = pen.write_all([work(sentence)])
        assert alone.tokens == one.tokens
        np.testing.assert_allclose(alone.log_probs, one.log_probs, atol=1e-5)


def test_the_shipped_graphs_are_those_that_the_command_writes(tmp_path: Path) -> None:
    shutil.copytree(PEN, tmp_path, ignore=shutil.ignore_patterns("*.onnx"), dirs_exist_ok=True)
    for made in store.export(tmp_path):
        shipped = onnx.load_from_string((PEN / made.name).read_bytes(), "protobuf")
        assert shipped.graph == onnx.load(made, load_external_data=False).graph
        assert made.parent / WEIGHTS == tmp_path / WEIGHTS
    assert {path.name for path in tmp_path.glob("*.onnx")} == {READ, WRITE}
