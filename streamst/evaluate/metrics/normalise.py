"""The text normalisers of WER, CER and ASR metrics: named, versioned, applied to both sides alike.

`streamst-de-1`, in this order:
1. Unicode NFKC, lower case, typographic apostrophes to "'".
2. `%`, `&`, `€`, `$`, `£` and `+` become words. Numbers become words: groups of thousands are joined ("1.000"),
   decimals are read digit by digit, integers of up to 15 digits as a cardinal ("25" -> "fünfundzwanzig"), 1100 to 1999
   without a separator as a year ("neunzehnhundertfünf"), longer ones and those with a leading 0 digit by digit.
   Ordinals and times are not special.
3. A hyphen or dash separates words; an apostrophe within a word stays; every other punctuation mark and symbol goes.
4. White space collapses to single spaces.

`streamst-en-1` is English as it is heard (`languages.english.spoken`), so that what is heard without a mistake counts
no error however its numbers are written: 1, then cardinals, ordinals ("1st"), years and decades ("1990s"), times
("12:00" -> "twelve o'clock"), money ("$5.50"), fractions, ranges, telephone numbers, signs ("-5", "50°"), units after
numbers ("5 km") and titles ("Mr.") become words; Latin letters lose their accents; what is neither a letter nor an
apostrophe within a word separates words; "and" within a number goes, "ok" is "okay".

`whisper-en` is the English normaliser that leaderboards use (openai/whisper's, from the package whisper-normalizer,
whose version a signature states): British spelling becomes American, "won't" "will not", number words digits; fillers
such as "um" and what stands in brackets go.

`streamst-basic-1` is 1, 3 and 4 of the German one, for other languages. `none` changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import metadata, util

from streamst.errors import InputError, UnavailableError
from streamst.languages.catalog import LANGUAGES
from streamst.languages.normaliser import unmarked

WHISPER = "whisper-en"


def _whisper_english(text: str) -> str:
    return _whisper_normaliser()(text).strip()


@functools.lru_cache(maxsize=1)
def _whisper_normaliser() -> Callable[[str], str]:
    if not has_whisper():
        raise UnavailableError(f"normaliser {WHISPER!r} needs a package: pip install 'streamst[whisper-normalizer]'")
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


NORMALISERS: dict[str, Callable[[str], str]] = {
    **{f"streamst-{code}-1": language.normalise for code, language in LANGUAGES.items()},
    "streamst-basic-1": unmarked,
    WHISPER: _whisper_english,
    "none": lambda text: text,
}


def normalise(text: str, name: str) -> str:
    """`text` after the normaliser `name`. Raises InputError for an unknown one."""
    if name not in NORMALISERS:
        raise InputError(f"unknown normaliser {name!r}; allowed: {', '.join(NORMALISERS)}")
    return NORMALISERS[name](text)


def normaliser_for(language: str) -> str:
    """The name of the normaliser of a language code."""
    name = f"streamst-{language.lower().split('-')[0]}-1"
    return name if name in NORMALISERS else "streamst-basic-1"


def described(name: str) -> str:
    """The normaliser as a signature states it."""
    return f"{name}-{metadata.version('whisper-normalizer')}" if name == WHISPER else name


def normalisers_of(language: str) -> dict[str, str]:
    """Those that an error rate is computed with, by the ending of its name: our own, and for English, where the package
    is installed, that of leaderboards."""
    own = {"": normaliser_for(language)}
    english = language.lower().split("-")[0] == "en"
    return {**own, "_whisper": WHISPER} if english and has_whisper() else own


def has_whisper() -> bool:
    """Whether whisper-normalizer is installed."""
    return util.find_spec("whisper_normalizer") is not None
