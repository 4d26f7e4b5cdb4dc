"""German words as they are spoken: numbers, dates, times, currency, abbreviations, initials, and the voice's alphabet.

`spoken` looks at one written word between its neighbours, because a voice that speaks word by word knows no more than
that; `normalise` is the same over a whole text, so both say the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from num2words import num2words

LETTERS = "abcdefghijklmnopqrstuvwxyzäöüß-"
ENDS = " ,.?!:"  # what follows a word's letters: a blank, or the punctuation that takes its place
START = "^"  # what precedes the first word of a phrase
SYMBOLS = (*LETTERS, *ENDS, START)  # index + 1 is the voice's symbol; 0 is padding
INDEX = {symbol: index + 1 for index, symbol in enumerate(SYMBOLS)}
DIGITS = "0123456789"
LONGEST = 64  # letters in one spoken word; longer ones are spoken in pieces

MONTHS = (
    "januar", "februar", "märz", "april", "mai", "juni", "juli", "august", "september", "oktober", "november",
    "dezember",
)  # fmt: skip
ABBREVIATIONS = {
    "z.b": "zum Beispiel", "d.h": "das heißt", "u.a": "unter anderem", "u.u": "unter Umständen", "z.t": "zum Teil",
    "i.d.r": "in der Regel", "v.a": "vor allem", "o.ä": "oder ähnlich", "u.ä": "und ähnlich", "s.o": "siehe oben",
    "s.u": "siehe unten", "v.chr": "vor Christus", "n.chr": "nach Christus", "usw": "und so weiter", "etc": "et zetera",
    "bzw": "beziehungsweise", "ca": "zirka", "dr": "Doktor", "prof": "Professor", "hr": "Herr", "fr": "Frau",
    "nr": "Nummer", "str": "Straße", "tel": "Telefon", "inkl": "inklusive", "exkl": "exklusive", "evtl": "eventuell",
    "ggf": "gegebenenfalls", "vgl": "vergleiche", "sog": "sogenannt", "mind": "mindestens", "max": "maximal",
    "min": "Minuten", "std": "Stunden", "sek": "Sekunden", "mio": "Millionen", "mrd": "Milliarden", "st": "Sankt",
    "jh": "Jahrhundert", "bd": "Band", "abs": "Absatz", "art": "Artikel", "geb": "geboren", "gest": "gestorben",
}  # fmt: skip
SPACED = {  # abbreviations that are usually written as two words: how each half is said
    ("z", "b"): ("zum", "Beispiel"), ("d", "h"): ("das", "heißt"), ("u", "a"): ("unter", "anderem"),
    ("v", "a"): ("vor", "allem"), ("o", "ä"): ("oder", "ähnlich"), ("z", "t"): ("zum", "Teil"),
    ("v", "chr"): ("vor", "Christus"), ("n", "chr"): ("nach", "Christus"), ("s", "o"): ("siehe", "oben"),
}  # fmt: skip
WITHOUT_DOT = {"bzw", "usw", "etc", "ca", "mio", "mrd", "dr", "prof"}
UNITS = {
    "€": "Euro", "$": "Dollar", "£": "Pfund", "¥": "Yen", "%": "Prozent", "‰": "Promille", "°": "Grad",
    "°c": "Grad Celsius", "°f": "Grad Fahrenheit", "km": "Kilometer", "cm": "Zentimeter", "mm": "Millimeter",
    "m": "Meter", "m²": "Quadratmeter", "km²": "Quadratkilometer", "m³": "Kubikmeter", "kg": "Kilogramm",
    "g": "Gramm", "mg": "Milligramm", "l": "Liter", "ml": "Milliliter", "h": "Stunden", "s": "Sekunden",
    "ms": "Millisekunden", "km/h": "Kilometer pro Stunde", "kw": "Kilowatt", "kwh": "Kilowattstunden",
    "mb": "Megabyte", "gb": "Gigabyte", "hz": "Hertz", "khz": "Kilohertz",
}  # fmt: skip
CURRENCIES = {
    "€": "Euro",
    "$": "Dollar",
    "£": "Pfund",
    "euro": "Euro",
    "eur": "Euro",
    "dollar": "Dollar",
    "pfund": "Pfund",
}
SIGNS = {
    "€": "Euro", "$": "Dollar", "£": "Pfund", "%": "Prozent", "&": "und", "+": "plus", "=": "gleich", "@": "ät",
    "§": "Paragraf", "°": "Grad", "×": "mal", "<": "kleiner", ">": "größer",
}  # fmt: skip
LETTER_NAMES = {
    "a": "ah", "b": "beh", "c": "zeh", "d": "deh", "e": "eh", "f": "eff", "g": "geh", "h": "hah", "i": "ih",
    "j": "jott", "k": "kah", "l": "ell", "m": "emm", "n": "enn", "o": "oh", "p": "peh", "q": "kuh", "r": "err",
    "s": "ess", "t": "teh", "u": "uh", "v": "vau", "w": "weh", "x": "ix", "y": "üpsilon", "z": "zett", "ä": "äh",
    "ö": "öh", "ü": "üh", "ß": "eszett",
}  # fmt: skip
SPELLED = frozenset({"usa", "eu", "ki", "it", "abc", "adac"})
WEAK_N = frozenset(
    {"am", "im", "vom", "zum", "zur", "den", "dem", "des", "beim", "ab", "bis", "seit", "einem", "einen", "diesem",
     "diesen", "jedem", "jeden", "unserem"}
)  # fmt: skip
WEAK = frozenset({"der", "die", "das", "dieser", "diese", "dieses", "jede", "jeder", "jedes"})
FRACTIONS = {
    "1/2": "ein halb",
    "1/3": "ein Drittel",
    "2/3": "zwei Drittel",
    "1/4": "ein Viertel",
    "3/4": "drei Viertel",
}
FOLDED = str.maketrans(
    {"ø": "ö", "å": "o", "æ": "ä", "œ": "ö", "ł": "l", "đ": "d", "ð": "d", "þ": "t", "ı": "i", "ẞ": "ß"}
)
_NUMBER = r"[0-9]+(?:[.'][0-9]{3})+(?:,[0-9]+)?|[0-9]+[.,][0-9]+|[0-9]+"


def normalise(text: str) -> tuple[str, ...]:
    """The spoken words of a German text (see `spoken`); text without anything speakable gives none."""
    words = text.split()
    said: list[str] = []
    for index, word in enumerate(words):
        previous = words[index - 1] if index else None
        following = words[index + 1] if index + 1 < len(words) else None
        said.extend(spoken(word, previous, following))
    return tuple(said)


def spoken(word: str, previous: str | None = None, following: str | None = None) -> tuple[str, ...]:
    """How `word` is said between its neighbours: words of LETTERS, each with at most one of ENDS as its last character.

    What has no letter or digit of ours (emoji, Chinese) gives no word. `following` is None at the end of a phrase.
    """
    core, end = _take_end(_fold(word), following is None)
    before, after = _bare(previous), _bare(following)
    text, keeps_end = _words(core, end, before, after, following)
    said = [piece for raw in text.split() for piece in _pieces(_letters(raw))]
    if said and keeps_end and end != " ":
        said[-1] += end
    return tuple(said)


def encode(word: str, first: bool = False) -> list[int]:
    """Symbols of one spoken word: START where it opens a phrase, letters, and exactly one of ENDS."""
    letters, end = (word[:-1], word[-1]) if word[-1:] in ENDS and word else (word, " ")
    return [INDEX[symbol] for symbol in ((START,) if first else ()) + tuple(letters) + (end,)]


def closes(word: str) -> bool:
    """True when a spoken word ends a sentence."""
    return word[-1:] in (".", "?", "!")


def leans(word: str) -> bool:
    """True when how a written word is said may depend on the word after it: numbers, abbreviations, signs."""
    core, end = _take_end(_fold(word), False)
    low = core.lower()
    return bool(re.search("[0-9]", core)) or core in SIGNS or (end == "." and (len(low) < 3 or low in ABBREVIATIONS))


def cardinal(number: int) -> str:
    """217 -> "zweihundertsiebzehn"; beyond 15 digits its digits one by one."""
    if abs(number) >= 10**15:
        return " ".join(num2words(int(digit), lang="de") for digit in str(abs(number)))
    return str(num2words(number, lang="de"))


def year(number: int) -> str:
    """1984 -> "neunzehnhundertvierundachtzig"; only 1100 to 1999 differ from the cardinal."""
    if not 1100 <= number <= 1999:
        return cardinal(number)
    hundreds, rest = divmod(number, 100)
    return f"{cardinal(hundreds)}hundert{cardinal(rest) if rest else ''}"


def ordinal(number: int, ending: str = "te") -> str:
    """3, "ten" -> "dritten". Numbers of a million and more are said as cardinals."""
    if not 0 <= number < 1_000_000:
        return cardinal(number)
    return str(num2words(number, lang="de", to="ordinal")).removesuffix("te") + ending


def _fold(word: str) -> str:
    """Composed, with superscripts kept, typographic variants unified and invisible characters dropped."""
    word = unicodedata.normalize("NFC", word).translate(FOLDED)
    word = re.sub("[\u00ad\u200b-\u200f\u2060\ufeff\ufe0f]", "", word)
    return re.sub("[‐‑−]", "-", re.sub("[’ʻ`´]", "'", word))


def _take_end(word: str, last: bool) -> tuple[str, str]:
    """The word without its outer punctuation, and the symbol that follows it. `last`: the phrase ends here."""
    match = re.fullmatch(r"[^\w€$£%§&+=@°#<>×-]*(.*?)([^\w€$£%§&+=@°‰²³<>×]*)", word, re.DOTALL)
    core, tail = (match.group(1), match.group(2)) if match else (word, "")
    for symbol, signs in (("?", "?"), ("!", "!"), (".", ".…"), (":", ":;"), (",", ",–—()")):
        if any(sign in tail for sign in signs):
            return core, symbol
    return core, "." if last and '"' in tail else " "


def _bare(word: str | None) -> str:
    return _take_end(_fold(word), False)[0].lower() if word else ""


def _words(core: str, end: str, before: str, after: str, following: str | None) -> tuple[str, bool]:
    """The spoken text of a word without its punctuation, and whether the punctuation still stands."""
    low = core.lower()
    dotted = end == "."
    if dotted or "." in low:
        for (first, second), (says_first, says_second) in SPACED.items():
            if dotted and low == first and after == second:
                return says_first, False
            if dotted and low == second and before == first:
                return says_second, following is None
        if low in ABBREVIATIONS and (low not in {"art", "min", "max", "fr", "st"} or following is not None):
            return ABBREVIATIONS[low], following is None
    if low in WITHOUT_DOT:
        return ABBREVIATIONS[low], True
    if core in SIGNS:
        return ("" if _priced(before) and core in CURRENCIES else SIGNS[core]), True
    if re.fullmatch(rf"[+-]?(?:{_NUMBER})", before) and low in UNITS:
        return UNITS[low], True
    if low in CURRENCIES and _priced(before):
        return "", True
    if low == "uhr" and re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", before):
        return "", True
    if not re.search("[0-9]", core):
        return _plain(core), True
    return _numeric(low, dotted, before, after, following)


def _priced(before: str) -> bool:
    """True when the word before is an amount like 5,50, which already says its currency."""
    return re.fullmatch(r"[0-9]+(?:\.[0-9]{3})*,[0-9]{2}", before) is not None


def _plain(core: str) -> str:
    """Words without digits: initials are spelled, addresses get their "Punkt" and "ät"."""
    if re.fullmatch(r"[^\s@]+@[^\s@]+|(?:www\.)?[\w-]+(?:\.[\w-]{2,})+", core):
        core = core.replace("@", " ät ").replace(".", " Punkt ")
    for sign, name in SIGNS.items():
        core = core.replace(sign, f" {name} ")
    return " ".join(_initials(part) for part in re.split(r"[^\w'-]+|_", core) if part)


def _initials(word: str) -> str:
    """USA -> "uh-ess-ah": capitals that cannot be read as a word, and single consonants, are spelled."""
    low = word.lower()
    capitals = word.isupper() and 2 <= len(word) <= 5
    unreadable = not re.search("[aeiouäöüy]", low) or low in SPELLED or (capitals and len(low) == 2)
    if (len(low) == 1 and low not in "o" and low in LETTER_NAMES) or (capitals and unreadable):
        return "-".join(LETTER_NAMES.get(letter, "") for letter in low)
    return word


def _numeric(low: str, dotted: bool, before: str, after: str, following: str | None) -> tuple[str, bool]:
    """The spoken text of a word that holds digits."""
    if (date := re.fullmatch(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.([0-9]{4}|[0-9]{2}))?", low)) and (
        date.group(3) or dotted
    ):
        return _date(date, before), bool(date.group(3)) or following is None
    if time := re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", low):
        hour, minute = int(time.group(1)), int(time.group(2))
        return f"{_one(hour)} Uhr {cardinal(minute) if minute else ''}", True
    if (
        dotted
        and following is not None
        and re.fullmatch("[0-9]+", low)
        and (after in MONTHS or before in WEAK | WEAK_N)
    ):
        return ordinal(int(low), "ten" if before in WEAK_N else "te" if before in WEAK else "ter"), False
    if low in FRACTIONS:
        return FRACTIONS[low], True
    if span := re.fullmatch(rf"({_NUMBER})[-–]({_NUMBER})", low):
        return f"{_amount(span.group(1))} bis {_amount(span.group(2))}", True
    if amount := re.fullmatch(rf"([€$£]?)([+-]?)({_NUMBER})(%|‰|°c?|€|\$|£|km/h|[a-z]{{1,3}}[²³]?)?", low):
        sign, minus, number, unit = amount.groups()
        currency = CURRENCIES.get(sign) or CURRENCIES.get(unit or "") or CURRENCIES.get(after)
        name = {"-": "minus ", "+": "plus "}.get(minus, "")
        if currency:
            stated = bool(sign) or unit in CURRENCIES or "," in number
            return name + _money(number, currency, stated), True
        if unit is None or unit in UNITS:
            said = _one(int(number)) if number == "1" and (after in {"uhr", *UNITS} or unit) else _amount(number)
            return f"{name}{said} {UNITS.get(unit or '', '')}", True
    parts = re.findall(rf"{_NUMBER}|[^0-9\s]+", low)
    return " ".join(_amount(part) if part[0] in DIGITS else _plain(part) for part in parts), True


def _date(date: re.Match[str], before: str) -> str:
    ending = "ten" if before in WEAK_N else "te" if before in WEAK else "ter"
    day, month, in_year = date.groups()
    name = MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else ordinal(int(month), ending)
    return f"{ordinal(int(day), ending)} {name} {year(int(in_year)) if in_year else ''}"


def _money(number: str, currency: str, stated: bool) -> str:
    """12,50 -> "zwölf Euro fünfzig"; the currency is left out where the next word says it."""
    whole, _, cents = number.partition(",")
    whole = whole.replace(".", "").replace("'", "")
    said = f"{_one(int(whole))} {currency if stated else ''}"
    return f"{said} {cardinal(int(cents))}" if cents and len(cents) == 2 and int(cents) else said


def _one(number: int) -> str:
    """A count in front of its noun: "ein", not "eins"."""
    return "ein" if number == 1 else cardinal(number)


def _amount(number: str) -> str:
    """Digits with German separators: 1.000 and 1'000 are thousands, 3,5 and 3.5 decimals, 007 its digits."""
    grouped = re.fullmatch(r"[0-9]+(?:[.'][0-9]{3})+(?:,[0-9]+)?", number) is not None
    plain = re.sub("[.']", "", number) if grouped else number.replace(".", ",")
    whole, separator, decimals = plain.partition(",")
    if not separator and ((len(whole) > 1 and whole[0] == "0") or len(whole) > 15):
        return " ".join(cardinal(int(digit)) for digit in whole)
    said = year(int(whole)) if len(whole) == 4 and not grouped and not separator else cardinal(int(whole))
    return f"{said} Komma {' '.join(cardinal(int(digit)) for digit in decimals)}" if separator else said


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
