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
    "abb": "Abbildung", "kap": "Kapitel", "allg": "allgemein", "bzgl": "bezüglich", "u.v.m": "und vieles mehr",
    "u.s.w": "und so weiter", "e.v": "eingetragener Verein", "m.e": "meines Erachtens",
}  # fmt: skip
DATIVE = frozenset({"mit", "nach", "von", "aus", "bei", "seit", "vor", "zu", "in", "binnen"})
MONTHS_SHORT = {
    "jan": "Januar", "feb": "Februar", "mär": "März", "apr": "April", "jun": "Juni", "jul": "Juli", "aug": "August",
    "sep": "September", "sept": "September", "okt": "Oktober", "nov": "November", "dez": "Dezember",
}  # fmt: skip
SPACED = {  # abbreviations that are usually written as two words: how each half is said
    ("z", "b"): ("zum", "Beispiel"), ("d", "h"): ("das", "heißt"), ("u", "a"): ("unter", "anderem"),
    ("v", "a"): ("vor", "allem"), ("o", "ä"): ("oder", "ähnlich"), ("z", "t"): ("zum", "Teil"),
    ("v", "chr"): ("vor", "Christus"), ("n", "chr"): ("nach", "Christus"), ("s", "o"): ("siehe", "oben"),
    ("i", "d"): ("in", "der"), ("d", "r"): ("der", "Regel"), ("m", "e"): ("meines", "Erachtens"),
}  # fmt: skip
WITHOUT_DOT = {"bzw", "usw", "etc", "ca", "mio", "mrd", "dr", "prof"}
UNITS = {
    "€": "Euro", "$": "Dollar", "£": "Pfund", "¥": "Yen", "%": "Prozent", "‰": "Promille", "°": "Grad",
    "°c": "Grad Celsius", "°f": "Grad Fahrenheit", "km": "Kilometer", "cm": "Zentimeter", "mm": "Millimeter",
    "m": "Meter", "m²": "Quadratmeter", "km²": "Quadratkilometer", "m³": "Kubikmeter", "kg": "Kilogramm",
    "g": "Gramm", "mg": "Milligramm", "l": "Liter", "ml": "Milliliter", "h": "Stunden", "s": "Sekunden",
    "ms": "Millisekunden", "km/h": "Kilometer pro Stunde", "kw": "Kilowatt", "kwh": "Kilowattstunden",
    "mb": "Megabyte", "gb": "Gigabyte", "hz": "Hertz", "khz": "Kilohertz", "m/s": "Meter pro Sekunde",
    "min": "Minuten", "std": "Stunden", "sek": "Sekunden", "mio": "Millionen", "mrd": "Milliarden",
}  # fmt: skip
FEMININE = frozenset({
    "Stunden", "Sekunden", "Millisekunden", "Kilowattstunden", "Minuten", "Millionen", "Milliarden",
})  # fmt: skip
FEMININE_NOUNS = (
    "(?:stunde|minute|sekunde|woche|million|milliarde|person|frau|straße|seite|tasse|flasche|stadt|nacht|hand|tonne"
    "|meile|katze|stimme|frage|idee|reise|.*(?:ung|heit|keit|schaft|tion))"
)
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
    "§": "Paragraf", "§§": "Paragrafen", "‰": "Promille", "¥": "Yen", "°": "Grad", "×": "mal",
    "<": "kleiner", ">": "größer",
}  # fmt: skip
LETTER_NAMES = {
    "a": "ah", "b": "beh", "c": "zeh", "d": "deh", "e": "eh", "f": "eff", "g": "geh", "h": "hah", "i": "ih",
    "j": "jott", "k": "kah", "l": "ell", "m": "emm", "n": "enn", "o": "oh", "p": "peh", "q": "kuh", "r": "err",
    "s": "ess", "t": "teh", "u": "uh", "v": "vau", "w": "weh", "x": "ix", "y": "üpsilon", "z": "zett", "ä": "äh",
    "ö": "öh", "ü": "üh", "ß": "eszett",
}  # fmt: skip
SPELLED = frozenset({"usa", "eu", "ki", "it", "abc", "adac", "ard", "dna", "usd"})
WEAK_N = frozenset(
    {"am", "im", "vom", "zum", "zur", "den", "dem", "des", "beim", "ab", "bis", "seit", "einem", "einen", "diesem",
     "diesen", "jedem", "jeden", "unserem"}
)  # fmt: skip
WEAK = frozenset({"der", "die", "das", "dieser", "diese", "dieses", "jede", "jeder", "jedes"})
VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
LARGEST_PART = 10  # of fractions written with a slash: 9/11 is none
NUMBERED = frozenset(
    {"kapitel", "teil", "band", "abschnitt", "stufe", "phase", "artikel", "akt", "buch", "typ", "klasse", "grad"}
)  # what a Roman numeral after it counts
ROMAN = r"(?=[IVX])X{0,3}(?:IX|IV|V?I{0,3})"
FOLDED = str.maketrans(
    {"ø": "ö", "å": "o", "æ": "ä", "œ": "ö", "ł": "l", "đ": "d", "ð": "d", "þ": "t", "ı": "i", "ẞ": "ß"}
    | {chr(0x2080 + digit): str(digit) for digit in range(10)}  # subscripts
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
    if core == "1" and end == " " and _counts(previous, following):
        feminine = re.fullmatch(FEMININE_NOUNS, after) is not None
        text, keeps_end = _article(feminine, before in DATIVE), True
    else:
        text, keeps_end = _words(core, end, before, after, following)
    if end == " " and following is not None and after in {"uhr", *CURRENCIES} and not spoken(following, word):
        end = _take_end(_fold(following), False)[1]  # of a word that is said with this one, before it
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
    return (
        bool(re.search("[0-9]", core))
        or core in SIGNS
        or (end == "." and (len(low) < 3 or low in {**ABBREVIATIONS, **MONTHS_SHORT} or _roman(core) > 0))
    )


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
    match = re.fullmatch(r"[^\w€$£¥%‰§&+=@°#<>×-]*(.*?)([^\w€$£¥%‰§&+=@°<>×]*)", word, re.DOTALL)
    core, tail = (match.group(1), match.group(2)) if match else (word, "")
    for symbol, signs in (("?", "?"), ("!", "!"), (".", ".…"), (":", ":;"), (",", ",–—()")):
        if any(sign in tail for sign in signs):
            return core, symbol
    return core, "." if last and '"' in tail else " "


def _bare(word: str | None) -> str:
    return _take_end(_fold(word), False)[0].lower() if word else ""


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


def _single(name: str) -> str:
    """One of a feminine unit: Stunden -> Stunde, Millionen -> Million."""
    return name.removesuffix("en" if name.endswith("ionen") else "n")


def _roman(core: str) -> int:
    """The value of a Roman numeral up to 39, 0 where it is none."""
    if not re.fullmatch(ROMAN, core):
        return 0
    values = [{"I": 1, "V": 5, "X": 10}[letter] for letter in core]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))


def _words(core: str, end: str, before: str, after: str, following: str | None) -> tuple[str, bool]:
    """The spoken text of a word without its punctuation, and whether the punctuation still stands."""
    low = core.lower()
    dotted = end == "."
    if low in UNITS and low not in CURRENCIES and re.fullmatch(rf"[+-]?(?:{_NUMBER})", before):
        name = UNITS[low]
        one = name in FEMININE and before.lstrip("+-") == "1"
        return _single(name) if one else name, not dotted or low not in ABBREVIATIONS or following is None
    if (
        dotted
        and low in MONTHS_SHORT
        and following is not None
        and (before.isdigit() or re.fullmatch("[0-9]{4}", after))
    ):
        return MONTHS_SHORT[low], False
    if dotted and low == "s" and after[:1].isdigit():
        return "Seite", False
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
        leads = _priced(after) and not before[:1].isdigit()  # € 12,50
        return ("" if core in CURRENCIES and (_priced(before) or leads) else SIGNS[core]), True
    if low in CURRENCIES and _priced(before):
        return "", True
    if low == "uhr" and re.search(r"(?:^|[-–])[0-9]{1,2}[:.][0-9]{2}$", before):
        return "", True
    if (low in UNITS and re.search("[²³°]", low)) or low == "gmbh":
        return UNITS.get(low, "geh-emm-beh-hah"), True
    if (len(core) > 1 or before in WEAK | WEAK_N) and (value := _roman(core)):
        return _regnal(value, dotted, before, following is None)
    if not re.search(f"[0-9{''.join(VULGAR)}]", core):
        return _plain(core), True
    return _numeric(core, dotted, before, after, following)


def _regnal(value: int, dotted: bool, before: str, last: bool) -> tuple[str, bool]:
    """A Roman numeral: an ordinal where it has a point, unless it numbers what is said before it."""
    if not dotted or before in NUMBERED or (last and not before):
        return cardinal(value), True
    if not before or before in WEAK | WEAK_N:
        return ordinal(value, _ending(before)), last
    return f"der {ordinal(value)}", last


def _ending(before: str) -> str:
    """Of an ordinal after this word."""
    return "ten" if before in WEAK_N else "te" if before in WEAK else "ter"


def _priced(before: str) -> bool:
    """True when the word before is an amount like 5,50, which already says its currency."""
    return re.fullmatch(r"[+-]?[0-9]+(?:[.'][0-9]{3})*[,.][0-9]{2}", before) is not None


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


def _numeric(core: str, dotted: bool, before: str, after: str, following: str | None) -> tuple[str, bool]:
    """The spoken text of a word that holds digits."""
    low = core.lower()
    if iso := re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", low):
        low = f"{iso.group(3)}.{iso.group(2)}.{iso.group(1)}"
    if (date := re.fullmatch(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.([0-9]{4}|[0-9]{2}))?", low)) and (
        date.group(3) or dotted
    ):
        return _date(date, before), bool(date.group(3)) or following is None
    times = [_time(part, after) for part in re.split("[-–]", low)]
    if all(times):
        return " bis ".join(times), True
    if score := re.fullmatch("([0-9]+):([0-9]+)", low):
        return f"{_amount(score.group(1))} zu {_amount(score.group(2))}", True
    if decade := re.fullmatch("([0-9]+)er(n?)(-.*)?", low):
        return f"{_amount(decade.group(1))}er{decade.group(2)}{decade.group(3) or ''}", True
    if (
        dotted
        and following is not None
        and re.fullmatch("[0-9]+", low)
        and (after in MONTHS or after in MONTHS_SHORT or before in WEAK | WEAK_N)
    ):
        return ordinal(int(low), _ending(before)), False
    if fraction := re.fullmatch(f"([0-9]*)([{''.join(VULGAR)}])(.*)", low):
        whole, part, unit = fraction.groups()
        if not unit or unit in UNITS:
            return f"{_with_part(whole, VULGAR[part])} {UNITS.get(unit, '')}", True
    if said := _fraction(low):
        return said, True
    if span := re.fullmatch(rf"({_NUMBER})[-–]({_NUMBER})", low):
        return f"{_amount(span.group(1))} bis {_amount(span.group(2))}", True
    if amount := re.fullmatch(rf"([€$£]?)([+-]?)({_NUMBER})(%|‰|°c?|€|\$|£|km/h|[a-z]{{1,3}}[²³]?)?", low):
        sign, minus, number, unit = amount.groups()
        currency = CURRENCIES.get(sign) or CURRENCIES.get(unit or "") or CURRENCIES.get(after)
        name = {"-": "minus ", "+": "plus "}.get(minus, "")
        if not sign and before in CURRENCIES and before in SIGNS and _priced(low):
            sign, currency = before, CURRENCIES[before]  # € 12,50
        if currency:
            stated = bool(sign) or unit in CURRENCIES or _priced(number)
            return name + _money(number, currency, stated), True
        if unit is None or unit in UNITS:
            said, unit_name = _amount(number), UNITS.get(unit or "", "")
            if number == "1" and (after in {"uhr", *UNITS} or unit):
                said = "eine" if (unit_name or UNITS.get(after)) in FEMININE else "ein"
                unit_name = _single(unit_name) if unit_name in FEMININE else unit_name
            return f"{name}{said} {unit_name}", True
    parts = re.findall(rf"{_NUMBER}|[^0-9\s]+", core if core.isupper() else low)
    return " ".join(_amount(part) if part[0] in DIGITS else _plain(part) for part in parts), True


def _time(text: str, after: str) -> str:
    """14:30, or 14.30 before "Uhr", as it is said; "" where it is no time."""
    time = re.fullmatch(r"([0-9]{1,2})[:.]([0-9]{2})" if after == "uhr" else "([0-9]{1,2}):([0-9]{2})", text)
    hour, minute = map(int, time.groups()) if time else (99, 99)
    return f"{_one(hour)} Uhr {cardinal(minute) if minute else ''}".strip() if hour <= 24 and minute < 60 else ""


def _fraction(text: str) -> str:
    """3/4 -> "drei Viertel"; "" where it is none that is usual."""
    if not (parts := re.fullmatch("([1-9])/([0-9]{1,2})", text)):
        return ""
    above, below = int(parts.group(1)), int(parts.group(2))
    if not above < below <= LARGEST_PART:
        return ""
    return f"{_one(above)} {'halb' if below == 2 else ordinal(below, 'tel')}"


def _with_part(whole: str, part: str) -> str:
    """2, "1/2" -> "zweieinhalb"; 2, "3/4" -> "zwei drei Viertel"."""
    if not whole:
        return _fraction(part)
    return f"{_one(int(whole))}einhalb" if part == "1/2" else f"{cardinal(int(whole))} {_fraction(part)}"


def _date(date: re.Match[str], before: str) -> str:
    ending = _ending(before)
    day, month, in_year = date.groups()
    name = MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else ordinal(int(month), ending)
    return f"{ordinal(int(day), ending)} {name} {year(int(in_year)) if in_year else ''}"


def _money(number: str, currency: str, stated: bool) -> str:
    """12,50 -> "zwölf Euro fünfzig"; the currency is left out where the next word says it."""
    grouped = re.fullmatch(r"[0-9]+(?:[.'][0-9]{3})+(?:,[0-9]+)?", number) is not None
    whole, _, cents = (re.sub("[.']", "", number) if grouped else number.replace(".", ",")).partition(",")
    if cents and len(cents) != 2:
        return f"{_amount(number)} {currency if stated else ''}"
    if cents and not int(whole) and int(cents) and currency in {"Euro", "Dollar"}:
        return f"{_one(int(cents))} Cent"
    said = f"{_one(int(whole))} {currency if stated else ''}"
    return f"{said} {cardinal(int(cents))}" if cents and int(cents) else said


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
