"""The writer alone on correct text: files of pairs, loops, whole sentences and words that come one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import sacrebleu
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from streamst.cli.bench import bench_app
from streamst.errors import InputError
from streamst.evaluate.log.pairs import Pair, TextRun, Translation, read_pairs
from streamst.evaluate.metrics.repetition import repeats_phrase, repeats_word
from streamst.evaluate.report.text import against, text_report
from streamst.evaluate.run.text import TOGETHER, write_early, write_whole
from streamst.models.write.writer import WordWriter
from streamst.pipeline import load
from streamst.policies.catalog import parse_policy
from streamst.text import Tokenizer

PAIRS = [
    Pair(1, "Good morning.", "Guten Morgen."),
    Pair(2, "Tom had a dog.", "Tom hatte einen Hund."),
    Pair(3, "I want to go home because I am very tired today.", "Ich will heim, weil ich heute sehr müde bin."),
    Pair(4, "!!!", "!!!"),
    Pair(5, "The train leaves at 10 o'clock.", "Der Zug fährt um 10 Uhr."),
]


@pytest.fixture(scope="module")
def writer() -> WordWriter:
    torch.set_num_threads(1)
    found = load("en-de", "cpu", writer="own").writer  # whose sentences are greedy
    assert isinstance(found, WordWriter)
    return found


def pairs_file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "p.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_pairs_are_lines_of_two_sentences_or_two_columns_of_a_manifest(tmp_path: Path) -> None:
    plain = "\ufeffGood morning.\tGuten Morgen.\r\n\n a\u2028b \tx\u00a0y\n"
    assert read_pairs(pairs_file(tmp_path, plain)) == (
        Pair(1, "Good morning.", "Guten Morgen."), Pair(3, "a\u2028b", "x\u00a0y"),
    )  # fmt: skip
    table = "path\ttranslation\tmood\ttext\na.wav\teins\tglad\tone\nb.wav\tzwei\tsad\ttwo\n"
    assert read_pairs(pairs_file(tmp_path, table)) == (Pair(2, "one", "eins"), Pair(3, "two", "zwei"))
    assert read_pairs(pairs_file(tmp_path, table), 1) == (Pair(2, "one", "eins"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Good morning.\n", "p.tsv:1: no tab in the line, 1 field; allowed: 2, ENGLISH TAB GERMAN"),
        ("a\tb\nc\td\te\n", "p.tsv:2: 3 fields in the line; allowed: 2"),
        ("text\ttranslation\tx\na\tb\n", "p.tsv:2: 2 fields in the line; allowed: 3, as the header has"),
        ("", "p.tsv: no sentences"),
        ("\n\r\n", "p.tsv: no sentences"),
        ("a\tb\n\tc\n", "p.tsv:2: 0 words on the source side; allowed: 1 to 200"),
        ("a\t \n", "p.tsv:1: 0 words on the target side"),
        ("word " * 2000 + "\tb\n", "p.tsv:1: 2000 words on the source side; allowed: 1 to 200"),
        ("a\tb\nc\t" + "x " * 201 + "\n", "p.tsv:2: 201 words on the target side"),
        (b"a\tb\nc\t\xff\n", "p.tsv:2: not UTF-8 at byte 2 of the line"),
    ],
)
def test_a_line_that_is_no_pair_is_refused_with_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_pairs(pairs_file(tmp_path, text))


def test_a_missing_file_of_pairs_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.tsv: No such file"):
        read_pairs(tmp_path / "gone.tsv")


@pytest.mark.parametrize(
    ("text", "word", "phrase"),
    [
        ("Das ist gut.", False, False),
        ("Das, das ist gut.", False, False),
        ("Nein, nein, NEIN!", True, False),
        ("in der Stadt, in der Stadt", False, True),
        ("Er ging und er ging und ging.", False, True),
        ("Er ging und sie kam und er ging.", False, False),
        ("ja ja ja ja", True, False),
        ("a b c d e f g h a b c d e f g h", False, True),
        ("", False, False),
    ],
)
def test_loops_are_words_three_times_and_phrases_twice_running(text: str, word: bool, phrase: bool) -> None:
    assert (repeats_word(text), repeats_phrase(text)) == (word, phrase)


@given(st.lists(st.sampled_from("abc"), max_size=14))
def test_loops_are_those_that_a_pattern_finds(letters: list[str]) -> None:
    """An oracle in regular expressions: one letter is one word."""
    text = "".join(letters)
    assert repeats_word(" ".join(letters)) == bool(re.search(r"(.)\1\1", text))
    found = [m[1] for size in range(2, 9) for m in re.finditer(rf"(?=(.{{{size}}})\1)", text)]
    assert repeats_phrase(" ".join(letters)) == any(len(set(phrase)) > 1 for phrase in found)


def greedy(writer: WordWriter, spoken: str) -> str:
    """A sentence translated by the network without anything of this project's around it."""
    tokens = torch.tensor([[Tokenizer.begin, *writer.source_tokenizer.encode(spoken), Tokenizer.end]])
    with torch.inference_mode():
        memory = writer.network.memory(tokens, torch.zeros_like(tokens, dtype=torch.bool))
        return writer.target_tokenizer.decode(writer.network.greedy(memory, [], 96).tokens)


def test_whole_sentences_are_what_the_network_writes_of_them_alone(writer: WordWriter) -> None:
    pairs = PAIRS * (2 + TOGETHER // len(PAIRS))  # more than are decoded together
    run = write_whole(writer, "de", pairs)
    spoken = ["good morning", "tom had a dog", "i want to go home because i am very tired today"]
    texts = [one.text for one in run.translations]
    assert texts[:3] == [greedy(writer, sentence) for sentence in spoken]
    assert texts[:5] == texts[5:10] == texts[-5:]
    assert texts[3] == ""  # nothing in it is said
    assert all(set(one.delays) <= {one.source_words} for one in run.translations)
    assert run.compute_s > 0
    assert run.tokens >= len(" ".join(texts).split())


@pytest.mark.parametrize("k", [3, 5])
def test_with_wait_k_a_word_is_written_k_words_after_it_could_be(writer: WordWriter, k: int) -> None:
    run = write_early(writer, "de", PAIRS, parse_policy(f"wait-k:k={k}"))
    for one in run.translations:
        assert len(one.delays) == len(one.text.split())
        assert list(one.delays) == sorted(one.delays)
        assert all(at >= min(k + i, one.source_words) for i, at in enumerate(one.delays))
    assert run.translations[2].delays[:3] == (k, k + 1, k + 2)


@pytest.mark.parametrize("policy", ["local-agreement", "hold-n:n=2", "monotonic", "alignatt", "retranslate"])
def test_every_policy_of_words_writes_sentences_to_their_end(writer: WordWriter, policy: str) -> None:
    run = write_early(writer, "de", PAIRS[:3], parse_policy(policy))
    for one in run.translations:
        assert one.text
        assert len(one.delays) == len(one.text.split())
        assert max(one.delays) <= one.source_words


def test_a_policy_that_needs_the_audio_is_refused_by_name(writer: WordWriter) -> None:
    with pytest.raises(InputError, match=r"transducer, which a writer alone does not have"):
        write_early(writer, "de", PAIRS, parse_policy("transducer"))
    with pytest.raises(InputError, match=r"target language 'fr' is not available; allowed: de"):
        write_whole(writer, "fr", PAIRS)


def text_run(texts: Sequence[str], delays: Sequence[tuple[int, ...]], words: int = 4) -> TextRun:
    translations = (Translation(text, at, words) for text, at in zip(texts, delays, strict=True))
    return TextRun(tuple(translations), tokens=30, compute_s=2.0)


def test_the_report_counts_length_loops_silence_speed_and_delays_in_words() -> None:
    """Two sentences of four words; delays worked by hand, BLEU by sacrebleu."""
    pairs = [Pair(1, "a b c d", "das ist ein Haus"), Pair(2, "a b c d", "nein nein nein nein")]
    early = text_run(["das ist ein Haus", "nein nein nein"], [(2, 3, 4, 4), (4, 4, 4)])
    whole = text_run(["das ist ein Haus", "nein nein nein nein"], [(4,) * 4, (4,) * 4])
    metrics = text_report(pairs, early, whole, "de", resamples=100).metrics
    values = {name: metric.value for name, metric in metrics.items()}
    assert values["LengthRatio"] == 7 / 8
    assert (values["RepeatedWords"], values["RepeatedPhrases"], values["empty"]) == (1.0, 0.0, 0.0)
    assert "in_references:1" in metrics["RepeatedWords"].signature
    assert values["TokensPerSecond"] == 15.0
    # LAAL: (2 - 0, 3 - 1, 4 - 2) / 3 = 2, and 4: all words wait for the end.
    assert (values["LAAL"], metrics["LAAL"].unit) == ((2.0 + 4.0) / 2, "words")
    expected = sacrebleu.corpus_bleu([one.text for one in early.translations], [[pair.reference for pair in pairs]])
    assert values["BLEU"] == pytest.approx(expected.score)
    assert values["BLEU_whole"] == pytest.approx(100.0)
    assert values["BLEU_kept"] == pytest.approx(expected.score)
    alone = text_report(pairs, whole, None, "de", resamples=100)
    assert not {"LAAL", "BLEU_whole", "BLEU_kept"} & set(alone.metrics)


def test_bench_text_prints_figures_and_writes_them_in_the_shape_of_a_report(tmp_path: Path) -> None:
    lines = "".join(f"{pair.source}\t{pair.reference}\n" for pair in PAIRS)
    path, told = pairs_file(tmp_path, lines), tmp_path / "x.json"
    words = ["text", str(path), "--policy", "wait-k:k=3", "--json", str(told), "--resamples", "100"]
    done = CliRunner().invoke(bench_app, words)
    assert done.exit_code == 0, done.output
    assert "BLEU_kept" in done.output
    report = json.loads(told.read_text())
    assert set(report) == {"metrics", "intervals", "percentiles", "notes", "rows"}
    assert set(report["metrics"]["BLEU"]) == {"value", "unit", "signature"}
    assert report["metrics"]["empty"]["value"] == 1.0
    assert [row["line"] for row in report["rows"]] == [1, 2, 3, 4, 5]
    assert report["rows"][0]["hypothesis"]


def test_what_was_written_now_stands_against_what_was_written_before(tmp_path: Path) -> None:
    told = ["das ist ein Haus", "der Hund schläft im Garten", "nein danke, ich komme später"] * 4
    pairs = [Pair(n, "a b c d", text) for n, text in enumerate(told, start=1)]
    good = text_report(pairs, text_run(told, [(4,)] * 12), None, "de", resamples=100)
    poor = text_report(pairs, text_run(["das ist nichts"] * 12, [(4,)] * 12), None, "de", resamples=100)
    before = tmp_path / "before.json"
    before.write_text(json.dumps(poor.as_json()), encoding="utf-8")
    found = {one.name: one for one in against(good, before, "de", resamples=200).metrics}
    assert set(found) == {"BLEU", "chrF", "TER"}
    assert (found["BLEU"].a, found["BLEU"].b) == pytest.approx((100.0, poor.metrics["BLEU"].value))
    assert found["BLEU"].significant
    assert found["BLEU"].difference.low > 0
    assert found["TER"].difference.high < 0
    before.write_text(json.dumps(good.as_json()), encoding="utf-8")
    assert not any(one.significant for one in against(good, before, "de", resamples=200).metrics)
    fewer = text_report(pairs[:6], text_run(told[:6], [(4,)] * 6), None, "de", resamples=100)
    with pytest.raises(InputError, match=r"before\.json has 12 sentences, not the 6 that were written now"):
        against(fewer, before, "de")
    for wrong in ("{}", "[1]", "no json"):
        before.write_text(wrong, encoding="utf-8")
        with pytest.raises(InputError, match=r"before\.json is no file that bench text --json wrote"):
            against(good, before, "de")


def test_bench_text_prints_both_beside_each_other(tmp_path: Path) -> None:
    path = pairs_file(tmp_path, "".join(f"{pair.source}\t{pair.reference}\n" for pair in PAIRS))
    told = tmp_path / "x.json"
    done = CliRunner().invoke(bench_app, ["text", str(path), "--json", str(told), "--resamples", "100"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(bench_app, ["text", str(path), "--against", str(told), "--resamples", "100"])
    assert done.exit_code == 0, done.output
    assert "A - B" in done.output
