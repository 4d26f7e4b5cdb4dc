"""Every language has what the house asks of one."""

from __future__ import annotations

import pytest

from streamst.languages.catalog import LANGUAGES, language_name


def test_languages_stand_under_their_codes_and_have_names() -> None:
    assert {code: language.code for code, language in LANGUAGES.items()} == {"en": "en", "de": "de"}
    assert [language_name(code) for code in ("en", "de", "de-AT", "EN-us", "fr")] == [
        "English", "German", "German", "English", "fr",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "written", "said", "counted"),
    [
        ("en", "It's 20% off!", "it's twenty percent off", "it's twenty percent off"),
        ("de", "Es sind 20 % Größe!", "es sind zwanzig prozent größe!", "es sind zwanzig prozent größe"),
    ],
)
def test_a_language_says_a_text_and_counts_its_words(code: str, written: str, said: str, counted: str) -> None:
    language = LANGUAGES[code]
    assert language.spoken(written) == said
    assert language.normalise(written) == counted
    assert set(counted) <= {*language.letters, " "}
    assert written[-1] in language.sentence_ends
    assert language.cardinal(21) in {"twenty one", "einundzwanzig"}
