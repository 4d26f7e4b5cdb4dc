"""What English titles, signs and units stand for."""

from __future__ import annotations

FOLDED = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L",
     "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i",
     "ħ": "h", "Ħ": "H", "ŋ": "n", "Ŋ": "N", "ĸ": "k", "ŧ": "t", "Ŧ": "T",
     "№": "No.", "−": "-", "‐": "-", "‑": "-", "²": "^2", "³": "^3"}
)  # fmt: skip
FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
SIGNS = {
    "%": "percent", "&": "and", "$": "dollars", "€": "euros", "£": "pounds", "°c": "degrees celsius",
    "°f": "degrees fahrenheit", "°": "degrees", "+": "plus", "=": "equals", "×": "times", "÷": "divided by",
    "±": "plus or minus", "<": "less than", ">": "greater than", "≈": "about", "@": "at",
}  # fmt: skip
TITLES = {  # before a point, in any case
    "mr": "mister", "mrs": "missis", "ms": "miss", "dr": "doctor", "prof": "professor", "jr": "junior", "sr": "senior",
    "sgt": "sergeant", "capt": "captain", "lt": "lieutenant", "col": "colonel", "gen": "general", "rev": "reverend",
    "gov": "governor", "sen": "senator", "vs": "versus", "etc": "et cetera", "e.g": "for example", "i.e": "that is",
    "a.m": "a m", "p.m": "p m", "mt": "mount", "approx": "approximately", "dept": "department", "ave": "avenue",
    "blvd": "boulevard", "ltd": "limited", "jan": "january", "feb": "february", "aug": "august", "sept": "september",
    "oct": "october", "nov": "november", "dec": "december",
    "vol": "volume", "fig": "figure",
}  # fmt: skip
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
UNITS: dict[str, tuple[str, str]] = {  # after a number: one, several
    "°C": ("degree celsius", "degrees celsius"), "° C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"), "° F": ("degree fahrenheit", "degrees fahrenheit"),
    "°": ("degree", "degrees"), "km/h": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"), "m/s": ("meter per second", "meters per second"),
    "km^2": ("square kilometer", "square kilometers"), "m^2": ("square meter", "square meters"),
    "m^3": ("cubic meter", "cubic meters"), "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"), "m": ("meter", "meters"), "mi": ("mile", "miles"), "ft": ("foot", "feet"),
    "yd": ("yard", "yards"), "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"), "l": ("liter", "liters"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"), "W": ("watt", "watts"), "V": ("volt", "volts"),
    "mA": ("milliampere", "milliamperes"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "Hz": ("hertz", "hertz"), "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"), "dB": ("decibel", "decibels"), "ms": ("millisecond", "milliseconds"),
    "sec": ("second", "seconds"), "min": ("minute", "minutes"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"),
    "h": ("hour", "hours"), "Ω": ("ohm", "ohms"), "ha": ("hectare", "hectares"), "cal": ("calorie", "calories"),
    "kcal": ("kilocalorie", "kilocalories"), "¢": ("cent", "cents"),
}  # fmt: skip
# whom a number in Roman letters follows as an ordinal
_RULERS = "Alexander Alfonso Benedict Catherine Charles Christian Clement Cleopatra Edward Elizabeth Felipe Ferdinand"
_RULERS += " Francis Frederick George Gregory Gustav Haakon Henri Henry Innocent James Leo Louis Mary Napoleon Nicholas"
_RULERS += " Otto Pedro Peter Philip Pius Ptolemy Ramesses Ramses Richard Robert Urban Wilhelm William"
RULERS = ("John Paul", "Juan Carlos", "Victor Emmanuel", "John", "Paul", *_RULERS.split())
