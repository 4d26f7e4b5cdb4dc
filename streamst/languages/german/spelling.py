"""Words that are said letter by letter, and those in capitals that are not."""

from __future__ import annotations

import re

LETTER_NAMES = {
    "a": "ah", "b": "beh", "c": "zeh", "d": "deh", "e": "eh", "f": "eff", "g": "geh", "h": "hah", "i": "ih",
    "j": "jott", "k": "kah", "l": "ell", "m": "emm", "n": "enn", "o": "oh", "p": "peh", "q": "kuh", "r": "err",
    "s": "ess", "t": "teh", "u": "uh", "v": "vau", "w": "weh", "x": "ix", "y": "üpsilon", "z": "zett", "ä": "äh",
    "ö": "öh", "ü": "üh", "ß": "eszett",
}  # fmt: skip
_SPELLED_WORDS = """
usa eu ki it abc adac ard dna usd eur afd aok aeg ihk ibm ice ioc ekd ekg edv ezb usb url iq suv ceo cia fbi adhs ip
led oecd osze un ukw udssr who lkw pkw kfz övp fpö spö öbb öpnv uhd ipo ira eta gez bip faz dak hiv tv uv wc
ec ic od cd dvd pdf atm api cpu gpu eeg egmr eugh bverfg bgh zdf ndr wdr mdr ehec mez mesz utc
"""
_SPELLED = frozenset(_SPELLED_WORDS.split())
_WORDS_TEXT = """
und ist als aus auf ich ihr ihn ihm alt arm ein eis uno die sie wie bei neu see tee zoo uhr ort art ost erz abo oma opa
ja nein am in er es so zu da du wo ob an im um eng ost elf ehe ei tee zwei drei
"""
_WORDS = frozenset(_WORDS_TEXT.split())  # short words that are sometimes written in capitals
_V, _C = "[aeiouäöü]", "[b-df-hj-np-tv-zß]"
_UNREADABLE = re.compile(f"{_V}{_C}{{2}}|{_C}{{2,}}{_V}|{_V}{{2}}{_C}|{_C}{_V}{{2}}|..")  # EZB, CDU; two letters


def spelled(word: str) -> str:
    """USA -> "uh-ess-ah": capitals that cannot be read as a word, and single consonants, are spelled."""
    if word == "pH":
        return "peh-hah"
    low = word.lower()
    capitals = word.isupper() and 2 <= len(word) <= 5
    shortened = re.fullmatch("[A-ZÄÖÜ][a-z]?[A-Za-z]{1,3}", word) is not None  # Pkw, GmbH
    vowels = re.search("[aeiouäöüy]", low) is not None
    unreadable = not vowels or low in _SPELLED or (_UNREADABLE.fullmatch(low) is not None and low not in _WORDS)
    if len(low) == 1 and low not in "o" and low in LETTER_NAMES:
        return LETTER_NAMES[low]
    if (capitals and unreadable) or (shortened and (not vowels or low in _SPELLED) and len(low) > 2):
        return "-".join(LETTER_NAMES.get(letter, "") for letter in low)
    return word
