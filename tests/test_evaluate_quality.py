"""Text quality against sacrebleu's golden scores, WER against worked cases, and recognisers that really run."""

import json
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.errors import InputError, UnavailableError
from streamst.evaluate.metrics import normalise as normalise_module
from streamst.evaluate.metrics import quality
from streamst.evaluate.metrics.normalise import NORMALISERS, normalise, normaliser_for, normalisers_of
from streamst.evaluate.metrics.recognise import CommandRecogniser, transcribe
from streamst.evaluate.metrics.speech_quality import asr_score
from streamst.languages.german.normalise import german_number

GOLDEN = json.loads((Path(__file__).parent / "data/golden/quality.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("key", GOLDEN["scores"])
def test_scores_and_signatures_are_those_of_sacrebleu(key):
    name, system = key.split("/")
    result = quality.sacrebleu_score(name, GOLDEN[system], GOLDEN["references"])
    assert result.value == pytest.approx(GOLDEN["scores"][key]["score"], rel=1e-9)
    golden = dict(part.split(":", 1) for part in GOLDEN["scores"][key]["signature"].split("|"))
    ours = dict(part.split(":", 1) for part in result.signature.split("|"))
    ours.pop("version")
    assert ours == {k: v for k, v in golden.items() if k not in ("bs", "seed", "version")}


def test_chinese_is_scored_with_its_own_tokenizer_and_japanese_by_character():
    assert [quality.tokenizer_for(code) for code in ("de", "zh-Hant", "ja", "en_US")] == ["13a", "zh", "char", "13a"]
    texts = ["我们今天去看电影。"]
    result = quality.sacrebleu_score("BLEU", texts, texts, tokenize=quality.tokenizer_for("zh"))
    assert result.value == pytest.approx(100.0)
    assert "tok:zh" in result.signature


def test_empty_outputs_count_against_a_system():
    references = GOLDEN["references"][:4]
    whole = quality.sacrebleu_score("BLEU", references, references)
    half = quality.sacrebleu_score("BLEU", [*references[:2], "", ""], references)
    assert whole.value == pytest.approx(100.0)
    assert half.value < 70.0
    assert quality.sacrebleu_score("BLEU", [""] * 4, references).value == 0.0


@pytest.mark.parametrize(
    ("name", "hypothesis", "reference", "edits", "length"),
    [
        ("WER", "ein Hund", "Ein Hund!", 0, 2),
        ("WER", "ein Hund läuft", "ein Haus", 2, 2),
        ("WER", "", "ein Haus", 2, 2),
        ("WER", "zwei Wörter", "", 2, 0),
        ("WER", "", "...", 0, 0),
        ("CER", "Haus", "Maus", 1, 4),
        ("CER", "ab", "a b", 1, 3),
        ("CER", "xy", "", 2, 0),
        ("WER", "25\u00a0Leute\tda", "fünfundzwanzig Leute da", 0, 3),
    ],
)
def test_edits_are_counted_after_both_sides_are_normalised(name, hypothesis, reference, edits, length):
    assert quality.edit_counts(name, hypothesis, reference, "streamst-de-1") == (edits, length)


def test_the_corpus_error_rate_counts_insertions_into_empty_references():
    result = quality.error_rate("WER", ["a b c", "x"], ["a b d", ""], "none")
    assert result is not None
    assert result.value == pytest.approx(100.0 * 2 / 3)
    assert result.unit == "%"
    assert result.signature.startswith("norm:none|average:micro|n:2|empty_ref:1")
    assert quality.error_rate("WER", ["x"], [""], "none") is None


def _distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(_distance(a[1:], b) + 1, _distance(a, b[1:]) + 1, _distance(a[1:], b[1:]) + (a[0] != b[0]))


@settings(deadline=None, max_examples=50)
@given(st.text("ab ", max_size=6), st.text("ab ", max_size=6))
def test_word_and_character_edits_equal_the_recursive_edit_distance(hypothesis, reference):
    hypothesis, reference = " ".join(hypothesis.split()), " ".join(reference.split())
    words = quality.edit_counts("WER", hypothesis, reference, "none")
    assert words == (_distance(hypothesis.split(), reference.split()), len(reference.split()))
    characters = quality.edit_counts("CER", hypothesis, reference, "none")
    assert characters == (_distance(hypothesis, reference), len(reference))


def test_unequal_or_empty_inputs_and_unknown_names_are_refused():
    with pytest.raises(InputError, match="2 hypotheses but 1 references"):
        quality.sacrebleu_score("BLEU", ["a", "b"], ["a"])
    with pytest.raises(InputError, match="nothing to score"):
        quality.error_rate("WER", [], [], "none")
    with pytest.raises(InputError, match="unknown quality metric 'METEOR'; allowed: BLEU, chrF"):
        quality.sacrebleu_score("METEOR", ["a"], ["a"])
    with pytest.raises(InputError, match="unknown error rate 'MER'"):
        quality.error_rate("MER", ["a"], ["a"], "none")
    with pytest.raises(InputError, match="unknown normaliser 'whisper'; allowed: streamst-en-1"):
        quality.error_rate("WER", ["a"], ["a"], "whisper")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("streamst-en-1", "It’s 1,000.50 — 25% of", "it's one thousand point five zero twenty five percent of"),
        ("streamst-en-1", "“Well… (no)”", "well no"),
        ("streamst-en-1", "In 1905, 1,905 co-ops", "in nineteen oh five one thousand nine hundred five co ops"),
        ("streamst-en-1", "agent 007 'quoted'", "agent zero zero seven quoted"),
        ("streamst-de-1", "Er zahlt 1.000,50 €.", "er zahlt tausend komma fünf null euro"),
        ("streamst-de-1", "1989: 21.000 Menschen", "neunzehnhundertneunundachtzig einundzwanzigtausend menschen"),
        ("streamst-de-1", "Groß\u00a0-\tund Ｋlein", "groß und klein"),
        ("streamst-basic-1", "L’été, 25 ans…", "l'été 25 ans"),
        ("none", " A  b ", " A  b "),
    ],
)
def test_normalisers_do_what_their_documentation_says(name, text, expected):
    assert normalise(text, name) == expected


@pytest.mark.parametrize(
    ("value", "english", "german"),
    [
        (0, "zero", "null"),
        (1, "one", "eins"),
        (16, "sixteen", "sechzehn"),
        (21, "twenty one", "einundzwanzig"),
        (101, "one hundred one", "hunderteins"),
        (777, "seven hundred seventy seven", "siebenhundertsiebenundsiebzig"),
        (1001, "one thousand one", "tausendeins"),
        (101000, "one hundred one thousand", "hunderteintausend"),
        (1000000, "one million", "eine million"),
        (2021000, "two million twenty one thousand", "zwei millionen einundzwanzigtausend"),
        (3000000007, "three billion seven", "drei milliarden sieben"),
    ],
)
def test_numbers_are_read_as_cardinals(value, english, german):
    assert normalise(f"{value}", "streamst-en-1") == english
    assert normalise(f"{value}", "streamst-de-1") == german
    assert german_number(value) == german


@settings(deadline=None)
@given(st.text(), st.sampled_from([name for name in NORMALISERS if name != "none"]))
def test_normalising_twice_changes_nothing_more(text, name):
    if name == "whisper-en":  # whisper-normalizer 0.1 makes small letters first and 𝐀 an A then
        text = unicodedata.normalize("NFKC", text)
    once = normalise(text, name)
    assert normalise(once, name) == once


def test_every_language_has_a_normaliser():
    assert [normaliser_for(c) for c in ("de", "en-GB", "fr")] == ["streamst-de-1", "streamst-en-1", "streamst-basic-1"]


def _python(code):
    return [sys.executable, "-c", code]


def test_comet_is_the_last_number_that_an_external_command_prints():
    code = (
        "import sys; a, b, c = (open(p, encoding='utf-8').read().splitlines() for p in sys.argv[1:]);"
        "print('score:', sum(x == y for x, y in zip(b, c)) / len(a))"
    )
    command = [*_python(code), "{source}", "{hypothesis}", "{reference}"]
    result = quality.comet(command, ["s", "t\nu"], ["a b", "x"], ["a b", "y"])
    assert result.value == 0.5
    assert "command:" in result.signature


def test_comet_fails_loudly():
    pair = (["s"], ["h"], ["r"])
    with pytest.raises(UnavailableError, match="pip install unbabel-comet"):
        quality.comet(["no-such-comet-program"], *pair)
    with pytest.raises(InputError, match="failed with 3: broken"):
        quality.comet(_python("import sys; sys.stderr.write('broken'); sys.exit(3)"), *pair)
    with pytest.raises(InputError, match="printed no score"):
        quality.comet(_python("print('none')"), *pair)


@pytest.fixture
def wavs(tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(2)]
    for i, path in enumerate(paths):
        path.write_bytes(b"audio %d" % i)
    return paths


@dataclass(frozen=True)
class Ear:
    """A recogniser that is a function."""

    function: Callable[[Path], str]
    name: str

    def __call__(self, wav: Path) -> str:
        return self.function(wav)


def test_transcripts_are_cached_by_audio_and_recogniser(wavs, tmp_path):
    asked = []

    def listen(wav):
        asked.append(wav.name)
        return f"Text von {wav.read_bytes().decode()}"

    cache = tmp_path / "cache"
    first = transcribe(Ear(listen, "ear-1"), [wavs[0], None, wavs[1]], cache)
    assert [one.text for one in first] == ["Text von audio 0", "", "Text von audio 1"]
    again = transcribe(Ear(listen, "ear-1"), [wavs[0], None, wavs[1]], cache)
    assert again == first
    assert asked == ["0.wav", "1.wav"]
    wavs[0].write_bytes(b"audio 2")
    assert transcribe(Ear(listen, "ear-1"), wavs, cache)[0].text == "Text von audio 2"
    transcribe(Ear(listen, "ear-2"), wavs, cache)
    assert asked == ["0.wav", "1.wav", "0.wav", "0.wav", "1.wav"]


def test_a_recogniser_can_be_any_command(wavs):
    code = "import sys; print(open(sys.argv[1]).read().upper())"
    recogniser = CommandRecogniser((*_python(code), "{wav}"), "upper-1")
    assert [one.text for one in transcribe(recogniser, wavs)] == ["AUDIO 0", "AUDIO 1"]


def test_speech_output_without_a_recogniser_fails_instead_of_scoring_zero(wavs):
    with pytest.raises(UnavailableError, match="none is configured"):
        transcribe(None, wavs)
    with pytest.raises(UnavailableError, match="not installed"):
        transcribe(CommandRecogniser(("no-such-asr", "{wav}"), "x"), wavs)
    with pytest.raises(InputError, match=r"missing\.wav: no such file"):
        transcribe(Ear(str, "x"), [wavs[0].parent / "missing.wav"])
    failing = CommandRecogniser((*shlex.split(f"{sys.executable} -c"), "import sys; sys.exit('out of memory')"), "x")
    failed = transcribe(failing, wavs)
    assert [one.text for one in failed] == [""] * len(wavs)
    assert all(re.search(r"'x' failed on .*out of memory", one.failed, re.DOTALL) for one in failed)


def test_asr_scores_name_the_recogniser_the_normaliser_and_the_silences():
    transcripts, references = ["das ist ein gutes haus", "hallo"], ["Das ist ein gutes Haus.", "Hallo!"]
    for name in ("ASR-BLEU", "ASR-chrF"):
        result = asr_score(name, transcripts, references, "ear-1", "streamst-de-1", silences="removed")
        assert result.value == pytest.approx(100.0)
        assert result.signature.startswith("asr:ear-1|silences:removed|norm:streamst-de-1|nrefs:1")
    result = asr_score("ASR-WER", ["das haus", ""], references, "ear-1", "streamst-de-1", silences="kept")
    assert result.value == pytest.approx(100.0 * 4 / 6)
    assert result.signature.startswith("asr:ear-1|silences:kept|norm:streamst-de-1")
    with pytest.raises(InputError, match="allowed: ASR-BLEU, ASR-chrF, ASR-WER, ASR-CER"):
        asr_score("BLEU", transcripts, references, "ear-1", "none", silences="kept")


# ---- the leaderboards' English, beside our own ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. O'Neill won't pay $5.50", "mister 0 neill will not pay $5.50"),  # its reading of "O'", kept as it is
        ("twenty-one colours, um, [laughs] on the first", "21 colors on the 1st"),
    ],
)
def test_english_of_leaderboards_is_that_of_the_package(text, expected):
    pytest.importorskip("whisper_normalizer")
    assert normalise(text, "whisper-en") == expected


def test_both_error_rates_of_english_are_stated_and_say_which_normaliser_was_at_work():
    pytest.importorskip("whisper_normalizer")
    assert list(normalisers_of("en-GB")) == ["", "_whisper"]
    assert list(normalisers_of("de")) == [""]
    heard, said = ["um we will not go to the centre"], ["We won't go to the center"]
    ours, theirs = (quality.error_rate("WER", heard, said, name) for name in normalisers_of("en").values())
    assert ours is not None
    assert theirs is not None
    assert ours.value == pytest.approx(100 * 4 / 6)  # um, will not for won't, centre
    assert theirs.value == 0.0
    assert "norm:streamst-en-1|" in ours.signature
    assert "norm:whisper-en-0." in theirs.signature


def test_without_the_package_only_our_own_is_stated_and_asking_for_it_names_the_package(monkeypatch):
    monkeypatch.setattr("streamst.evaluate.metrics.normalise.has_whisper", lambda: False)
    normalise_module._whisper_normaliser.cache_clear()
    assert list(normalisers_of("en")) == [""]
    with pytest.raises(UnavailableError, match=r"pip install 'streamst\[whisper-normalizer\]'"):
        normalise("a", "whisper-en")
