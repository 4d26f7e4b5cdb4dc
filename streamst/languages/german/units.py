"""Units of measurement and currencies: what their symbols are called, SI prefixes and quotients included."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Unit:
    """What a unit is called: several of it, and one of it; `feminine` is the gender of that."""

    many: str
    one: str
    feminine: bool = False


_PREFIXES = {
    "": "", "P": "Peta", "T": "Tera", "G": "Giga", "M": "Mega", "k": "Kilo", "h": "Hekto", "d": "Dezi", "c": "Zenti",
    "m": "Milli", "µ": "Mikro", "n": "Nano", "p": "Piko",
}  # fmt: skip
_PREFIXED = (  # symbol, what one is called, prefixes it takes; "-" is none
    ("m", "Meter", "-kdcmµn"), ("g", "Gramm", "-kmµn"), ("t", "Tonne", "-kM"), ("l", "Liter", "-hdcmµn"),
    ("L", "Liter", "-dcmµ"), ("s", "Sekunde", "-mµn"), ("W", "Watt", "-TGMkmµ"), ("Wh", "Wattstunde", "-TGMk"),
    ("V", "Volt", "-Mkmµ"), ("VA", "Voltampere", "-Mk"), ("A", "Ampere", "-kmµn"), ("Ah", "Amperestunde", "-m"),
    ("Hz", "Hertz", "-TGMk"), ("B", "Byte", "PTGMk"), ("bit", "Bit", "-TGMk"), ("Bit", "Bit", "-TGMk"),
    ("Pa", "Pascal", "-GMkh"), ("bar", "Bar", "-m"), ("J", "Joule", "-TGMk"), ("N", "Newton", "-GMkm"),
    ("Nm", "Newtonmeter", "-k"), ("Ω", "Ohm", "-GMkmµ"), ("F", "Farad", "mµnp"), ("H", "Henry", "mµn"),
    ("T", "Tesla", "-mµn"), ("K", "Kelvin", "-m"), ("mol", "Mol", "-kmµn"), ("Sv", "Sievert", "-mµn"),
    ("Bq", "Becquerel", "-TGMk"), ("Gy", "Gray", "-mµ"), ("lm", "Lumen", "-"), ("lx", "Lux", "-k"),
    ("cd", "Candela", "-"), ("eV", "Elektronenvolt", "-TGMk"), ("cal", "Kalorie", "-k"), ("S", "Siemens", "mµ"),
)  # fmt: skip
_FEMININE = ("tonne", "sekunde", "stunde", "kalorie")  # ends of units that are, and that take an n in the plural
_SAME = {  # what does not change in the plural
    "%": "Prozent", "‰": "Promille", "°": "Grad", "°C": "Grad Celsius", "°F": "Grad Fahrenheit", "ha": "Hektar",
    "qm": "Quadratmeter", "qkm": "Quadratkilometer", "qcm": "Quadratzentimeter", "cbm": "Kubikmeter",
    "ccm": "Kubikzentimeter", "KB": "Kilobyte", "KiB": "Kibibyte", "MiB": "Mebibyte", "GiB": "Gibibyte",
    "TiB": "Tebibyte", "dB": "Dezibel", "dBA": "Dezibel A", "dB(A)": "Dezibel A", "Wp": "Watt Peak",
    "kWp": "Kilowatt Peak", "MWp": "Megawatt Peak", "bps": "Bit pro Sekunde", "kbps": "Kilobit pro Sekunde",
    "Mbps": "Megabit pro Sekunde", "Gbps": "Gigabit pro Sekunde", "ppm": "Teile pro Million",
    "ppb": "Teile pro Milliarde", "px": "Pixel", "MP": "Megapixel", "dpi": "Punkt pro Zoll", "kn": "Knoten",
    "fps": "Bilder pro Sekunde", "ft": "Fuß", "mmHg": "Millimeter Quecksilbersäule", "rpm": "Umdrehungen pro Minute",
    "lb": "Pfund", "Stk": "Stück", "Stck": "Stück", "EL": "Esslöffel", "TL": "Teelöffel", "Pf": "Pfennig",
    "Bft": "Beaufort", "Pck": "Päckchen", "Pckg": "Packungen", "Dtzd": "Dutzend", "Pfd": "Pfund",
    "Å": "Ångström", "T€": "Tausend Euro", "TEUR": "Tausend Euro",
}  # fmt: skip
_COUNTED = {  # one of it is feminine and takes an "n" or "en" in the plural
    "h": "Stunde", "Std": "Stunde", "Min": "Minute", "Sek": "Sekunde", "sec": "Sekunde", "mi": "Meile",
    "sm": "Seemeile", "U": "Umdrehung", "Pers": "Person", "Mio": "Million", "Mrd": "Milliarde", "Bio": "Billion",
    "mio": "Million", "mrd": "Milliarde", "std": "Stunde", "min": "Minute", "sek": "Sekunde", "Wo": "Woche",
}  # fmt: skip
_OTHERS = {
    "Msp": Unit("Messerspitzen", "Messerspitze", True),
    "mph": Unit("Meilen pro Stunde", "Meile pro Stunde", True), "Tsd": Unit("tausend", "tausend"),
    "tsd": Unit("tausend", "tausend"), "Mon": Unit("Monate", "Monat"), "Pkt": Unit("Punkte", "Punkt"),
}  # fmt: skip
LARGE = {
    "mio": "Millionen", "mrd": "Milliarden", "bio": "Billionen", "tsd": "tausend", "million": "Million",
    "millionen": "Millionen", "milliarde": "Milliarde", "milliarden": "Milliarden", "billion": "Billion",
    "billionen": "Billionen", "tausend": "tausend",
}  # fmt: skip
MONEY_SIGNS = {
    "€": "Euro", "$": "Dollar", "£": "Pfund", "¥": "Yen", "¢": "Cent", "₽": "Rubel", "₹": "Rupien", "₺": "Lira",
    "₩": "Won", "₪": "Schekel", "₴": "Hrywnja", "₿": "Bitcoin",
}  # fmt: skip
MONEY_BEFORE = r"US-?\$|EUR|USD|CHF|GBP|[€$£]"  # what is written before amounts
CURRENCIES = MONEY_SIGNS | {
    "us$": "US-Dollar", "us-$": "US-Dollar", "usd": "US-Dollar", "eur": "Euro", "gbp": "Pfund", "chf": "Franken",
    "sfr": "Franken", "jpy": "Yen", "cny": "Yuan", "pln": "Zloty", "zł": "Zloty", "zl": "Zloty",
    "czk": "Kronen", "kč": "Kronen",
    "dkk": "Kronen", "nok": "Kronen", "huf": "Forint", "rub": "Rubel", "inr": "Rupien", "dm": "Mark", "ct": "Cent",
    "euro": "Euro", "dollar": "Dollar", "us-dollar": "US-Dollar", "pfund": "Pfund", "franken": "Franken",
    "yen": "Yen", "cent": "Cent",
}  # fmt: skip
_PER = {
    "tag": "Tag", "monat": "Monat", "jahr": "Jahr", "woche": "Woche", "stunde": "Stunde", "minute": "Minute",
    "sekunde": "Sekunde", "nacht": "Nacht", "person": "Person", "kopf": "Kopf", "stück": "Stück", "d": "Tag",
    "a": "Jahr", "einwohner": "Einwohner", "ew": "Einwohner", "100km": "hundert Kilometer",
}  # fmt: skip
ALONE = frozenset({"°C", "°F", "°"})  # said as units also where no number stands before them
_UNCLEAR = frozenset("AKNJTU")  # closely after digits these are names: 4K, Klasse 5A


def _table() -> dict[str, Unit]:
    units = {symbol: Unit(name, name) for symbol, name in _SAME.items()}
    for symbol, name, prefixes in _PREFIXED:
        for prefix in prefixes.replace("-", " "):
            long = _PREFIXES[prefix.strip()]
            units[prefix.strip() + symbol] = _named(long + (name.lower() if long else name))
    units |= {symbol: _named(name) for symbol, name in _COUNTED.items()} | _OTHERS
    for prefix in ("", "k", "d", "c", "m", "µ"):  # areas and volumes
        length = units[f"{prefix}m"].one.lower()
        units |= {f"{prefix}m{two}": Unit(f"Quadrat{length}", f"Quadrat{length}") for two in "²2"}
        units |= {f"{prefix}m{three}": Unit(f"Kubik{length}", f"Kubik{length}") for three in "³3"}
    return units


def _named(one: str) -> Unit:
    if one.endswith(("ion", "ung", "person", "Person")):
        return Unit(f"{one}en", one, True)
    feminine = one.lower().endswith((*_FEMININE, "minute", "meile", "milliarde", "woche"))
    return Unit(f"{one}n" if feminine else one, one, feminine)


UNITS = _table()
_ANY_CASE = {symbol.lower(): unit for symbol, unit in UNITS.items() if len(symbol) > 1} | {
    symbol.lower(): UNITS[symbol]
    for symbol in ("km", "cm", "mm", "kg", "mg", "ml", "kW", "kWh", "MW", "MB", "GB", "min")
}  # fmt: skip
_NAMES = frozenset({"mi", "mon", "ha", "bit", "bar", "pf", "st", "mp", "sm", "ps", "pa", "ma", "ms", "as"})


@lru_cache(maxsize=1024)
def unit(symbol: str, close: bool = False) -> Unit | None:
    """The unit of a symbol such as "km/h", "µl", "m/s²", "€/kg"; None for what is none.

    close: it is written to the number without a blank, where some capitals are no units.
    """
    symbol = symbol.replace("./", "/")
    if close and symbol in _UNCLEAR:
        return None
    if found := _single(symbol):
        return found
    above, slash, below = symbol.partition("/")
    first = _single(above) or _priced(above)
    if not slash or first is None:
        return None
    names = [_below(part) for part in below.split("/")]
    if not all(names):
        return None
    per = " pro ".join(names)
    return Unit(f"{first.many} pro {per}", f"{first.one} pro {per}", first.feminine)


def _single(symbol: str) -> Unit | None:
    if found := UNITS.get(symbol):
        return found
    low = symbol.lower()
    plain = (symbol.isupper() or symbol[:1].isupper() or symbol.islower()) and low not in _NAMES
    return _ANY_CASE.get(low) if plain else None


def _priced(symbol: str) -> Unit | None:
    name = CURRENCIES.get(symbol.lower())
    return Unit(name, name) if name else None


def _below(symbol: str) -> str:
    """What stands under the line: "Sekunde Quadrat", "Kubikmeter", "hundert Kilometer", "Tag"; "" for others."""
    if squared := re.fullmatch("(s|h)\\^?([²³23])", symbol):
        return f"{UNITS[squared.group(1)].one} {'Quadrat' if squared.group(2) in '²2' else 'hoch drei'}"
    if symbol.lower() in _PER:
        return _PER[symbol.lower()]
    if symbol == "100":
        return "hundert"
    found = _single(symbol) or _priced(symbol)
    return found.one if found else ""
