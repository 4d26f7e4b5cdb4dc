"""German words as they are spoken: numbers, dates, times, currency, abbreviations, initials, and the voice's alphabet.

`spoken` looks at one written word between its neighbours, because a voice that speaks word by word knows no more than
that; `spoken_german` is the same over a whole text, so both say the same. What is written in several words and said as
one (10 000) counts as one word: `together`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .abbreviations import ABBREVIATIONS, WITHOUT_DOT, initials, weekday, weekdays, written_out
from .groups import telephone, together, ungrouped
from .measures import CURRENCIES, FEMININE, LARGE, MONTHS_SHORT, UNITS, numeric, priced, single
from .numbers import NUMBER, VULGAR, WEAK, WEAK_N, amount, regnal, roman
from .symbols import LETTERS

DIGITS = "0123456789"
LONGEST = 64  # letters in one spoken word; longer ones are spoken in pieces

DATIVE = frozenset({"mit", "nach", "von", "aus", "bei", "seit", "vor", "zu", "in", "binnen"})
FEMININE_NOUNS = (
    "(?:stunde|minute|sekunde|woche|million|milliarde|person|frau|straße|seite|tasse|flasche|stadt|nacht|hand|tonne"
    "|meile|katze|stimme|frage|idee|reise|.*(?:ung|heit|keit|schaft|tion))"
)
SIGNS = {
    "€": "Euro", "$": "Dollar", "£": "Pfund", "%": "Prozent", "&": "und", "+": "plus", "=": "gleich", "@": "ät",
    "§": "Paragraf", "§§": "Paragrafen", "‰": "Promille", "¥": "Yen", "°": "Grad", "×": "mal",
    "<": "kleiner", ">": "größer",
}  # fmt: skip
FOLDED = str.maketrans(
    {"ø": "ö", "å": "o", "æ": "ä", "œ": "ö", "ł": "l", "đ": "d", "ð": "d", "þ": "t", "ı": "i", "ẞ": "ß"}
    | {chr(0x2080 + digit): str(digit) for digit in range(10)}  # subscripts
)


def spoken_german(text: str) -> tuple[str, ...]:
    """The spoken words of a German text (see `spoken`); text without anything speakable gives none."""
    words = together(text.split())
    said: list[str] = []
    for index, word in enumerate(words):
        previous = words[index - 1] if index else None
        following = words[index + 1].split()[0] if index + 1 < len(words) else None
        said.extend(spoken(word, previous, following))
    return tuple(said)


def spoken(word: str, previous: str | None = None, following: str | None = None) -> tuple[str, ...]:
    """How `word` is said between its neighbours: words of LETTERS, each with at most one of ENDS as its last character.

    What has no letter or digit of ours (emoji, Chinese) gives no word. `following` is None at the end of a phrase.
    word, previous: as `together` gives them; following: as it is written, without what belongs to it.
    """
    folded = _fold(word)
    core, end = _take_end(folded, following is None)
    before, after = _bare(previous), _bare(following)
    if core == "1" and end == " " and _counts(previous, following):
        feminine = re.fullmatch(FEMININE_NOUNS, after) is not None
        text, keeps_end = _article(feminine, before in DATIVE), True
    else:
        text, keeps_end = _words(core, end, before, after, following)
    if end == " " and following is not None and after in {"uhr", *CURRENCIES} and not spoken(following, word):
        end = _take_end(_fold(following), False)[1]  # of a word that is said with this one, before it
    said = [piece for raw in text.split() for piece in _pieces(_letters(raw))]
    if not keeps_end:
        end = "," if re.search(r"\.[^\w,]*,", folded) else " "  # of "Fr.," the point goes, the comma stays
    if said and end != " ":
        said[-1] += end
    return tuple(said)


def leans(word: str) -> bool:
    """True when how a written word is said may depend on the word after it: numbers, abbreviations, signs."""
    core, end = _take_end(_fold(word), False)
    low = core.lower()
    return (
        bool(re.search("[0-9]", core))
        or core in SIGNS
        or (end == "." and (len(low) < 3 or low in {**ABBREVIATIONS, **MONTHS_SHORT} or roman(core) > 0))
    )


def _fold(word: str) -> str:
    """Composed, with superscripts kept, typographic variants unified and invisible characters dropped."""
    word = unicodedata.normalize("NFC", word).translate(FOLDED)
    word = re.sub("[\u00ad\u200b-\u200f\u2060\ufeff\ufe0f]", "", word)
    return re.sub("[‐‑−]", "-", re.sub("[’ʻ`´]", "'", word))


def _take_end(word: str, last: bool) -> tuple[str, str]:
    """The word without its outer punctuation, and the symbol that follows it. `last`: the phrase ends here."""
    match = re.fullmatch(r"[^\w€$£¥%‰§&+=@°#<>×-]*(.*?)([^\w€$£¥%‰§&+=@°<>×]*)", word, re.DOTALL)
    core, tail = (match.group(1), match.group(2)) if match else (word, "")
    for symbol, signs in (("?", "?"), ("!", "!"), (".", ".…"), (":", ":;"), (",", ",–—()")):
        if any(sign in tail for sign in signs):
            return core, symbol
    return core, "." if last and '"' in tail else " "


def _bare(word: str | None) -> str:
    return ungrouped(_take_end(_fold(word), False)[0]).lower() if word else ""


def _counts(previous: str | None, following: str | None) -> bool:
    """True where a 1 between these words counts a noun ("nur 1 Tag") and is not a noun's number ("Platz 1 Berlin")."""
    noun = re.match("[A-ZÄÖÜ][a-zäöüß]", following or "") is not None
    return (
        noun
        and not (previous or "").rstrip(",;:")[:1].isupper()
        and _bare(following) not in {"uhr", *CURRENCIES, *UNITS}
    )


def _article(feminine: bool, dative: bool) -> str:
    """A 1 before its noun."""
    if dative:
        return "einer" if feminine else "einem"
    return "eine" if feminine else "ein"


def _words(core: str, end: str, before: str, after: str, following: str | None) -> tuple[str, bool]:
    """The spoken text of a word without its punctuation, and whether the punctuation still stands."""
    low = core.lower()
    dotted = end == "."
    if low in UNITS and low not in CURRENCIES and re.fullmatch(rf"[+-]?(?:{NUMBER})", before):
        name = UNITS[low]
        one = name in FEMININE and before.lstrip("+-") == "1"
        return single(name) if one else name, not dotted or low not in ABBREVIATIONS or following is None
    if low in LARGE and (price := re.fullmatch(rf"([€$£])[+-]?(?:{NUMBER})", before)):
        name = single(LARGE[low]) if before[1:] == "1" and low in UNITS else LARGE[low]
        return f"{name} {CURRENCIES[price.group(1)]}", not dotted or low not in ABBREVIATIONS or following is None
    if number := telephone(core, before, after):
        return number, True
    core = ungrouped(core)
    if days := weekdays(core):
        return days, not dotted or following is None
    if dotted and (day := weekday(core, before, after, following)):
        return day, following is None
    if dotted or "." in low:
        said = written_out(low, before, after, following is None)
        if said is not None:
            return said, following is None
    if low in WITHOUT_DOT:
        return ABBREVIATIONS[low], True
    if core in SIGNS:
        return ("" if core in CURRENCIES and priced(before) else SIGNS[core]), True
    if low in CURRENCIES and priced(before):
        return "", True
    if low == "uhr" and re.search(r"(?:^|[-–])[0-9]{1,2}[:.][0-9]{2}$", before):
        return "", True
    if (low in UNITS and re.search("[²³°]", low)) or low == "gmbh":
        return UNITS.get(low, "geh-emm-beh-hah"), True
    if (len(core) > 1 or before in WEAK | WEAK_N) and (value := roman(core)):
        return regnal(value, dotted, before, following is None)
    if not re.search(f"[0-9{''.join(VULGAR)}]", core):
        return _plain(core), True
    return numeric(core, dotted, before, after, following) or (_digits_and_letters(core), True)


def _digits_and_letters(core: str) -> str:
    """H2O -> "hah zwei oh": each as it is said alone."""
    parts = re.findall(rf"{NUMBER}|[^0-9\s]+", core if core.isupper() else core.lower())
    return " ".join(amount(part) if part[0] in DIGITS else _plain(part) for part in parts)


def _plain(core: str) -> str:
    """Words without digits: initials are spelled, addresses get their "Punkt" and "ät"."""
    if re.fullmatch(r"[^\s@]+@[^\s@]+|(?:www\.)?[\w-]+(?:\.[\w-]{2,})+", core):
        core = core.replace("@", " ät ").replace(".", " Punkt ")
    for sign, name in SIGNS.items():
        core = core.replace(sign, f" {name} ")
    return " ".join(initials(part) for part in re.split(r"[^\w'-]+|_", core) if part)


def _letters(word: str) -> str:
    """Only LETTERS: accents of other languages fall away, so does every other script."""
    kept = ""
    for character in word.lower().translate(FOLDED):
        if character not in LETTERS:
            character = unicodedata.normalize("NFKD", character)[:1]
        kept += character if character in LETTERS else ""
    return re.sub("-{2,}", "-", kept).strip("-")


def _pieces(word: str) -> Sequence[str]:
    return [word[start : start + LONGEST] for start in range(0, len(word), LONGEST)]
