"""German numbers in words: cardinals, ordinals, years, decimals, fractions, Roman numerals."""

from __future__ import annotations

import re

from num2words import num2words

VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
BINARY_PARTS = (16, 32, 64)  # of an inch; 15/16 are years
LARGEST_PART = 10  # of fractions written with a slash: 9/11 is none
ROMAN = r"(?=[IVX])X{0,3}(?:IX|IV|V?I{0,3})"
NUMBER = r"[0-9]+(?:[.'][0-9]{3})+(?:,[0-9]+)?|[0-9]{1,3}(?:,[0-9]{3}){2,}|[0-9]+[.,][0-9]+|[0-9]+"


def cardinal(number: int) -> str:
    """217 -> "zweihundertsiebzehn"; beyond 15 digits its digits one by one."""
    if abs(number) >= 10**15:
        return " ".join(num2words(int(digit), lang="de") for digit in str(abs(number)))
    return _named(number)


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
    return _named(number, "ordinal").removesuffix("te") + ending


def _named(number: int, kind: str = "cardinal") -> str:
    said = str(num2words(number, lang="de", to=kind))
    return said.replace("einstausend", "eintausend")  # num2words 0.5.14 says "einhunderteinstausend" for 101000


def counted(number: int) -> str:
    """A count in front of its noun: "ein", not "eins"."""
    return "ein" if number == 1 else cardinal(number)


def amount(number: str) -> str:
    """Digits with German separators: 1.000 and 1'000 are thousands, 3,5 and 3.5 decimals, 007 its digits."""
    if re.fullmatch("[0-9]{1,3}(?:,[0-9]{3}){2,}", number):  # as English groups them
        number = number.replace(",", ".")
    grouped = re.fullmatch(r"[0-9]+(?:[.'][0-9]{3})+(?:,[0-9]+)?", number) is not None
    plain = re.sub("[.']", "", number) if grouped else number.replace(".", ",")
    whole, separator, decimals = plain.partition(",")
    if not separator and ((len(whole) > 1 and whole[0] == "0") or len(whole) > 15):
        return " ".join(cardinal(int(digit)) for digit in whole)
    said = year(int(whole)) if len(whole) == 4 and not grouped and not separator else cardinal(int(whole))
    return f"{said} Komma {' '.join(cardinal(int(digit)) for digit in decimals)}" if separator else said


def fraction(text: str, sure: bool = False) -> str:
    """3/4 -> "drei Viertel", 3/16; "" where it is none that is usual. sure: it can be nothing else."""
    if not (parts := re.fullmatch("([1-9][0-9]?)/([1-9][0-9]{0,3})", text)):
        return ""
    above, below = int(parts.group(1)), int(parts.group(2))
    binary = below in BINARY_PARTS and above % 2 == 1 and above + 1 < below
    usual = (above == 1 and below > 12) or (above < 10 and below <= LARGEST_PART) or binary
    improper = below < above < 10 and 3 <= below <= LARGEST_PART  # 7/3
    if not ((above < below and (usual or sure)) or improper):
        return ""
    return f"{counted(above)} {'halb' if below == 2 else ordinal(below, 'tel')}"


def with_part(whole: str, part: str) -> str:
    """2, "1/2" -> "zweieinhalb"; 2, "3/4" -> "zwei drei Viertel"."""
    if not whole:
        return fraction(part)
    return f"{counted(int(whole))}einhalb" if part == "1/2" else f"{counted(int(whole))} {fraction(part)}"


def roman(core: str) -> int:
    """The value of a Roman numeral up to 39, 0 where it is none."""
    if not re.fullmatch(ROMAN, core):
        return 0
    values = [{"I": 1, "V": 5, "X": 10}[letter] for letter in core]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))
