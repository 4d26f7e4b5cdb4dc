"""German text as it is spoken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.languages.german.groups import together
from streamst.languages.german.numbers import cardinal, ordinal, year
from streamst.languages.german.place import CONTEXT
from streamst.languages.german.spoken import LONGEST, spoken, spoken_german
from streamst.languages.german.symbols import ENDS, INDEX, LETTERS, START, closes, encode


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Am 3. Mai 1984 war es warm.", "am dritten mai neunzehnhundertvierundachtzig war es warm."),
        ("der 2. Weltkrieg", "der zweite weltkrieg"),
        ("Er kam als 3. Dann ging er.", "er kam als dritter. dann ging er."),
        ("am 24.12.2024", "am vierundzwanzigsten dezember zweitausendvierundzwanzig"),
        ("Um 14:30 Uhr kam er.", "um vierzehn uhr dreißig kam er."),
        ("Um 8:00 Uhr", "um acht uhr"),
        ("Das kostet 5,50 €.", "das kostet fünf euro fünfzig."),
        ("Das kostet 1 Euro, nicht 2.", "das kostet ein euro, nicht zwei."),
        ("$5 und €12,50", "fünf dollar und zwölf euro fünfzig"),
        ("3,5 Prozent oder 12 %", "drei komma fünf prozent oder zwölf prozent"),
        ("1.234 km", "eintausendzweihundertvierunddreißig kilometer"),
        ("10-20 Leute", "zehn bis zwanzig leute"),
        ("-5 °C", "minus fünf grad celsius"),
        ("007", "null null sieben"),
        ("1/2 Liter", "ein halber liter"),
        ("z. B. Dr. Müller, d.h. er", "zum beispiel doktor müller, das heißt er"),
        ("Äpfel usw.", "äpfel und so weiter."),
        ("Die USA und die NATO", "die uh-ess-ah und die nato"),
        ("H2O", "hah zwei o"),
        ("max@web.de", "max ät web punkt de"),
        ("„Ja“, sagte sie – leise …", "ja, sagte sie leise"),
        ("Vor- und Nachteile", "vor und nachteile"),
        ("Café in Łódź", "cafe in lodz"),
        ("Was?! Nein!", "was? nein!"),
        ("und/oder", "und oder"),
        ("€ 12,50 oder 2,5 €", "zwölf euro fünfzig oder zwei komma fünf euro"),
        ("5.50 € und 2,5 Euro", "fünf euro fünfzig und zwei komma fünf euro"),
        ("-5,50 € oder 0,99 Euro", "minus fünf euro fünfzig oder neunundneunzig cent"),
        ("5 € 2 Tage lang", "fünf euro zwei tage lang"),
        ("Im II. Weltkrieg", "im zweiten weltkrieg"),
        ("II. Weltkrieg", "zweiter weltkrieg"),
        ("Heinrich VIII. starb, Ludwig XIV.", "heinrich der achte starb, ludwig der vierzehnte."),
        ("Kapitel IV und Kapitel II.", "kapitel vier und kapitel zwei."),
        ("V. Müller kauft eine CD", "vau müller kauft eine zeh-deh"),
        ("Die 1990er und 80er-Jahre", "die neunzehnhundertneunziger und achtziger-jahre"),
        ("1½ Liter, ½ Tasse, 2¾ %", "eineinhalb liter, eine halbe tasse, zwei drei viertel prozent"),
        ("5/8 am 9/11", "fünf achtel am neun elf"),
        ("Um 14.30 Uhr, 9:30-17:00 Uhr", "um vierzehn uhr dreißig, neun uhr dreißig bis siebzehn uhr"),
        ("Es steht 3:2.", "es steht drei zu zwei."),
        ("am 2024-11-21", "am einundzwanzigsten november zweitausendvierundzwanzig"),
        ("am 5. Okt. 2020", "am fünften oktober zweitausendzwanzig"),
        ("Das ist Jan. Er kam.", "das ist jan. er kam."),
        ("1 Mio. Menschen, 1 h", "eine million menschen, eine stunde"),
        ("nur 1 Tag und 1 Stunde", "nur ein tag und eine stunde"),
        ("mit 1 Kind auf Platz 1 Berlin", "mit einem kind auf platz eins berlin"),
        ("10 Min. lang 5 m/s", "zehn minuten lang fünf meter pro sekunde"),
        ("CO₂ in km² bei °C", "zeh-oh zwei in quadratkilometer bei grad celsius"),
        ("10 ‰ von 500 ¥", "zehn promille von fünfhundert yen"),
        ("§§ 5 und 6, siehe S. 7", "paragrafen fünf und sechs, siehe seite sieben"),
        ("i. d. R. gut", "in der regel gut"),
        ("100 km/h, Nr. 7, § 5 Abs. 2", "einhundert kilometer pro stunde, nummer sieben, paragraf fünf absatz zwei"),
        ("10 000 km und (12 345)", "zehntausend kilometer und zwölftausenddreihundertfünfundvierzig,"),
        ("1\u202f234\u202f567 Leute", "eine million zweihundertvierunddreißigtausendfünfhundertsiebenundsechzig leute"),
        (
            "1 234,5 % von 3\u00a0500 €",
            "eintausendzweihundertvierunddreißig komma fünf prozent von dreitausendfünfhundert euro",
        ),
        ("Im Jahr 1984 200 Leute", "im jahr neunzehnhundertvierundachtzig zweihundert leute"),
        ("€ 5, $ 1 und € 10 000,50", "fünf euro, ein dollar und zehntausend euro fünfzig"),
        ("5 € 12,50 €", "fünf euro zwölf euro fünfzig"),
        ("€ 5 Mio. und $ 1 Milliarde", "fünf millionen euro und eine milliarde dollar"),
        ("am Fr., 3. Mai", "am freitag, dritten mai"),
        ("am Fr. Abend mit Fr. Müller", "am freitag abend mit frau müller"),
        ("Hr. und Fr. Müller, Do. und Fr. zu", "herr und frau müller, donnerstag und freitag zu"),
        (
            "Mo., Di. und Mi. ab 8, Do.-Sa. bis 9",
            "montag, dienstag und mittwoch ab acht, donnerstag bis samstag bis neun",
        ),
        ("Das ist so. Ja, bis Fr.", "das ist so. ja, bis freitag."),
        ("Äpfel usw., am 3., heißt es", "äpfel und so weiter, am dritten, heißt es"),
        ("Tel. 030 123456", "telefon null drei null eins zwei drei vier fünf sechs"),
        ("0171/2345678.", "null eins sieben eins zwei drei vier fünf sechs sieben acht."),
        (
            "Tel.: (030) 12 34 56-7, Fax 123 45",
            "telefon null drei null eins zwei drei vier fünf sechs sieben, fax eins zwei drei vier fünf",
        ),
        ("+49 (0) 30 12 34 56", "plus vier neun drei null eins zwei drei vier fünf sechs"),
        ("Mein Telefon für 300 Euro, Agent 007", "mein telefon für dreihundert euro, agent null null sieben"),
        ("Agent 007 2024-11-21", "agent null null sieben einundzwanzigster november zweitausendvierundzwanzig"),
        ("Tel. 8:00-12:00 Uhr, Telefon 3 000 Euro", "telefon acht uhr bis zwölf uhr, telefon dreitausend euro"),
    ],
)
def test_german_is_written_out_as_it_is_said(written: str, said: str) -> None:
    assert " ".join(spoken_german(written)) == said


TABLE = Path(__file__).parent / "data" / "german_spoken.tsv"  # kind, what is written, what is said: looked at by hand
ROWS = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]


@pytest.mark.parametrize(("kind", "written", "said"), ROWS, ids=[f"{kind}: {written}" for kind, written, _ in ROWS])
def test_every_kind_of_german_is_said_as_it_is_meant_and_what_looks_like_it_is_not(
    kind: str, written: str, said: str
) -> None:
    assert " ".join(spoken_german(written)) == said, kind


def test_the_table_of_german_knows_every_kind() -> None:
    kinds = Counter(kind for kind, _, _ in ROWS)
    assert len(ROWS) >= 400
    assert len(kinds) >= 15
    assert min(kinds.values()) >= 4


@pytest.mark.parametrize("text", ["", "   ", "你好", "🙂", "!!! …", "«»", "\u200b", "Привет"])
def test_text_without_anything_speakable_gives_no_words(text: str) -> None:
    assert spoken_german(text) == ()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "null"),
        (1, "eins"),
        (16, "sechzehn"),
        (21, "einundzwanzig"),
        (101, "einhunderteins"),
        (101_000, "einhunderteintausend"),
        (21_001, "einundzwanzigtausendeins"),
        (1_000_000, "eine Million"),
    ],
)
def test_cardinals(number: int, words: str) -> None:
    assert cardinal(number) == words


def test_years_count_in_hundreds_only_from_1100_to_1999() -> None:
    assert (year(1099), year(1100), year(1905), year(2000)) == (
        "eintausendneunundneunzig", "elfhundert", "neunzehnhundertfünf", "zweitausend",
    )  # fmt: skip


def test_ordinals_are_inflected() -> None:
    assert [ordinal(n, "ten") for n in (1, 3, 7, 20)] == ["ersten", "dritten", "siebten", "zwanzigsten"]


def test_a_long_compound_stays_one_word_and_an_endless_one_is_spoken_in_pieces() -> None:
    compound = "Donaudampfschifffahrtsgesellschaftskapitän"
    assert len(compound) > 40
    assert spoken_german(compound) == (compound.lower(),)
    pieces = spoken_german("x" * 3 + "a" * 200)
    assert "".join(pieces) == "x" * 3 + "a" * 200
    assert max(map(len, pieces)) == LONGEST


def test_a_word_says_what_its_neighbours_ask_for() -> None:
    assert spoken("3.", ["am"], "Mai") == ("dritten",)
    assert spoken("3.", ["am"]) == ("dritten.",)
    assert spoken("3.", ["Kapitel"]) == ("drei.",)
    assert spoken("Uhr", ["14:30"], "kam") == ()
    assert spoken("Uhr", ["14"], "kam") == ("uhr",)


def test_a_word_is_its_letters_and_exactly_one_ending() -> None:
    assert encode("ja", first=True) == [INDEX[s] for s in (START, "j", "a", " ")]
    assert encode("ja,") == [INDEX[s] for s in "ja,"]
    assert closes("ja.")
    assert not closes("ja,")


PIECES = st.sampled_from(
    [*"0123456789.,:;/-–()+*%€$°²½§Ø'^&@~≈<= ①٣㊿", "Uhr", "Mai", "Zoll", "km", "ff.", "IBAN", "Mio."]
)


@given(st.text(max_size=60) | st.lists(PIECES, max_size=10).map("".join))
def test_any_text_becomes_words_of_known_symbols(text: str) -> None:
    for word in spoken_german(text):
        letters, end = (word[:-1], word[-1]) if word[-1] in ENDS else (word, " ")
        assert letters
        assert set(letters) <= set(LETTERS)
        assert all(symbol > 0 for symbol in encode(letters + end.strip()))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "am",
                "3.",
                "Mai",
                "5,50",
                "€",
                "z.",
                "B.",
                "14:30",
                "Uhr",
                "Haus.",
                "🙂",
                "USA",
                "12-15",
                "%",
                "II.",
                "1",
                "½",
                "Okt.",
                "S.",
                "Tel.",
                "030",
                "+49",
                "10",
                "000",
                "234,",
                "12/34",
                "Fr.,",
                "Mo.",
                "Mio.",
                "1.",
                "und",
                "Klasse",
                "1/2",
                "u.",
                "v.",
                "m.",
                "2021",
                "x",
                "V",
                "-",
            ]
        ),
        max_size=12,
    )
)
def test_saying_word_by_word_equals_saying_the_text(words: list[str]) -> None:
    said: list[str] = []
    before: list[str] = []
    held = ""
    for word in words:  # what stands before it is said when it does not belong to that
        units = together([*held.split(), word], before[-1] if before else "")
        if held and len(units) == 2:
            said.extend(spoken(held, before[-CONTEXT:], word))
            before.append(held)
        else:
            assert len(units) == 1
        held = units[-1]
    if held:
        said.extend(spoken(held, before[-CONTEXT:]))
    assert tuple(said) == spoken_german(" ".join(words))


def test_a_number_that_never_ends_is_said_in_parts() -> None:
    for words in (["1", *["234"] * 50], ["Tel.", *["030"] * 50]):
        assert max(len(unit) for unit in together(words)) < 30
        assert len(spoken_german(" ".join(words))) > 10
