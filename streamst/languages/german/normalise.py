"""German as error rates count it."""

from __future__ import annotations

from streamst.languages.normaliser import Reading, normaliser, thousands

_DE_SMALL = (
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
)
_DE_TENS = ("", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
_DE_SCALES = (("", ""), ("tausend", "tausend"), ("million", "millionen"), ("milliarde", "milliarden"))
_DE_SCALES += (("billion", "billionen"),)
_DE_SYMBOLS = {"%": "prozent", "&": "und", "€": "euro", "$": "dollar", "£": "pfund", "+": "plus"}


def german_number(value: int) -> str:
    """The cardinal of 0 <= value < 10^15: "hundertfünf", "eine million zwei"; 1 is "eins", never "ein hundert"."""
    groups = thousands(value)
    words: list[str] = []
    for scale in range(len(groups) - 1, 1, -1):
        if groups[scale]:
            one = groups[scale] == 1
            words.append(f"{'eine' if one else _german_group(groups[scale])} {_DE_SCALES[scale][not one]}")
    above = groups[1] if len(groups) > 1 else 0
    rest = ("" if above <= 1 else _german_group(above, joined=True)) + ("tausend" if above else "")
    rest += _german_group(groups[0]) if groups[0] else ""
    return " ".join([*words, rest] if rest else words) or _DE_SMALL[0]


def _german_group(group: int, joined: bool = False) -> str:
    """1..999; `joined`: more follows in the same word, as in "einundzwanzigtausend"."""
    hundreds, rest = divmod(group, 100)
    text = ("" if hundreds <= 1 else _DE_SMALL[hundreds]) + ("hundert" if hundreds else "")
    if rest >= 20:
        ones, tens = rest % 10, _DE_TENS[rest // 10]
        return text + (tens if not ones else f"{'ein' if ones == 1 else _DE_SMALL[ones]}und{tens}")
    if rest == 1 and joined:
        return text + "ein"
    return text + (_DE_SMALL[rest] if rest else "")


def _german_year(value: int) -> str:
    century, rest = divmod(value, 100)
    return f"{german_number(century)}hundert{german_number(rest) if rest else ''}"


_READING = Reading(german_number, _german_year, _DE_SMALL, "komma", ".", ",")
normalise = normaliser(_DE_SYMBOLS, _READING.spell_all)
