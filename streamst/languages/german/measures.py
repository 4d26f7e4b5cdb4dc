"""German words that hold digits, as they are said: money, amounts with their unit, spans, numbers in compounds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import arithmetic
from .cases import DATIVE, DETERMINERS, PREPOSITIONS, article
from .dates import lasting
from .nouns import gender
from .numbers import NUMBER, VULGAR, amount, cardinal, counted, fraction, ordinal, with_part
from .ordinals import NUMBERED
from .place import SIGNS, Place, Said
from .units import CURRENCIES, LARGE, MONEY_BEFORE, MONEY_SIGNS, unit

_PARTS = "".join(VULGAR)
_MONEY = "".join(re.escape(sign) for sign in MONEY_SIGNS)
_SIGN = {
    "-": "minus", "+": "plus", "±": "plus minus", "+-": "plus minus", "+/-": "plus minus", "~": "etwa",
         "≈": "etwa", "<": "kleiner", ">": "größer", "≤": "kleiner gleich", "≥": "größer gleich", "=": "gleich",
         "<=": "kleiner gleich", ">=": "größer gleich", "≠": "ungleich", "#": "Nummer", "×": "mal", "&": "und",
         "√": "Wurzel aus", "№": "Nummer", "Ø": "Durchschnitt", "∅": "Durchschnitt", "·": "mal", "⋅": "mal",
}  # fmt: skip
_SIGNED = re.compile(rf"({'|'.join(map(re.escape, sorted(_SIGN, key=len, reverse=True)))})(.+)", re.DOTALL)
_QUANTITY = re.compile(
    rf"(?:[+±~≈<>≤≥=-]*)(?:(?:{NUMBER})?[{_PARTS}]|(?:{NUMBER})(?:\^-?[0-9]|[²³])?|(?:[0-9]+ )?[0-9]+/[0-9]+)"
)
_SHORT = re.compile("std|min|sek|sec|stk|mio|mrd|bio|tsd|pkt|pers|mon|wo|mill|pckg?|msp|dtzd|pfd")  # with a point
_BEFORE_COUNTS = PREPOSITIONS | {
    "nur",
    "noch",
    "und",
    "etwa",
    "genau",
}  # also with a capital, no nouns that are numbered
_MONEY_NAMES = frozenset({"Euro", "Dollar", "US-Dollar", "Franken", "Pfund", "Mark", "Zloty", "Rubel"})


def measured(word: str) -> bool:
    """True when `word` is an amount that a unit may follow: 5, -3,5, 10-20, 2x3, ½, l/100."""
    parts = re.split("(?<=[0-9])(?:[-–x×/·⋅*…]|[.]{3})(?=[0-9])", word)
    return bool(parts) and (
        all(_QUANTITY.fullmatch(part) for part in parts)
        or re.fullmatch("[A-Za-zµ]+/[0-9]+(?:,[0-9]+)?", word) is not None
    )


def unit_name(place: Place) -> Said | None:
    """A unit after its number."""
    if lasts := lasting(place.nearest, place.low):
        return lasts[2], not place.dotted or place.sentence_follows
    if (
        not (measured(place.nearest) or place.nearest in LARGE)
        or place.low in CURRENCIES
        or (len(place.before) > 1 and place.before[-2] in NUMBERED)
    ):
        return None
    if place.dotted and (named := _years(place)):
        return named, place.sentence_follows
    if place.low in {"f", "ff", "x"} or (found := unit(place.core)) is None:
        return None
    if place.core == "h" and place.nearest.isdecimal() and _of_day(place, place.before[:-1]):
        return "Uhr", True
    said = found.one if re.fullmatch("[^0-9]*1|1/2|½", place.nearest) else found.many
    if priced(place.nearest) and _money_each(place.core):  # 1,29 €/l: the amount says its currency
        said = "pro " + said.partition(" pro ")[2]
    short = _SHORT.fullmatch(place.low.rpartition("/")[2]) is not None
    return said, not place.dotted or not short or place.sentence_follows


def hour(place: Place) -> Said | None:
    """um 18h, gegen 7h, von 8h bis 17h: times of day, where "um 2h verkürzt" says how long."""
    found = re.fullmatch("(1?[0-9]|2[0-4])h", place.core)
    before = place.before[-3:]
    between = (place.nearest, place.after) == ("von", "bis") or (
        len(before) == 3 and (before[0], before[2]) == ("von", "bis") and re.fullmatch("[0-9]+h", before[1])
    )
    if found is None or not (between or _of_day(place, place.before)):
        return None
    return f"{counted(int(found[1]))} Uhr", True


def _of_day(place: Place, before: Sequence[str]) -> bool:
    """Whether "9 h", after the words `before`, is a time of day and not how long something takes."""
    said = before[-1] if before else ""
    if said not in {"um", "ab"} or any(_CHANGED.search(word) for word in before):
        return said == "gegen"
    return place.last or place.end in ".!?" or place.after.lower() in _AT


_CHANGED = re.compile("länger|kürz|erhöh|reduzi|st[ei]+g|s[aiu]nk|spät|schieb|schob|zöger|wuchs|wächs|mehr|weniger")
_AT = frozenset(
    {"morgens", "früh", "vormittags", "mittags", "nachmittags", "abends", "nachts", "im", "in", "am", "an", "bei",
     "beim", "los", "statt", "mit", "ist", "war", "beginnt", "geht", "kommt", "fährt", "öffnet", "schließt", "gibt"}
)  # fmt: skip


def _years(place: Place) -> str:
    """J. and, before what goes on, M., W. and T.: symbols of units have no point, names of durations in short do."""
    if (
        place.core not in _DURATIONS
        or (place.core != "J" and place.sentence_follows)
        or _ENERGY & {*place.before, place.after.lower()}
    ):
        return ""
    one, many = _DURATIONS[place.core]
    if re.fullmatch("[^0-9]*1", place.nearest):
        return one
    before = place.before[-2] if len(place.before) > 1 else ""
    return f"{many}n" if before in DATIVE and not many.endswith("n") else many


_DURATIONS = {"J": ("Jahr", "Jahre"), "M": ("Monat", "Monate"), "W": ("Woche", "Wochen"), "T": ("Tag", "Tage")}
_ENERGY = frozenset({"energie", "arbeit", "wärme", "wärmemenge"})


def large(place: Place) -> Said | None:
    """The "Mio." of € 5 Mio., which says the currency."""
    price = re.fullmatch(rf"({MONEY_BEFORE})[+-]?({NUMBER})", place.nearest, re.IGNORECASE)
    if place.low not in LARGE or price is None:
        return None
    name = LARGE[place.low]
    if price.group(2) == "1" and name.endswith("ionen"):
        name = name.removesuffix("en")
    elif price.group(2) == "1" and name.endswith("arden"):
        name = name.removesuffix("n")
    return f"{name} {CURRENCIES[price.group(1).lower()]}", not place.dotted or place.sentence_follows


def signed(core: str) -> tuple[str, str]:
    """A sign before a number, as it is said, and the rest: ±2 -> "plus minus", "2"."""
    found = _SIGNED.fullmatch(core)
    if found is None or not re.match(rf"[0-9{_PARTS}{_MONEY}]", found.group(2).lstrip("-+ ")):
        return "", core
    return _SIGN[found.group(1)], found.group(2).lstrip()


def diameter(place: Place) -> str:
    """Of Ø before a number: "Durchmesser", where it is no average; "" for other signs."""
    number = place.core[1:].strip() or (place.following or "")
    averaged = place.nearest in DETERMINERS | PREPOSITIONS
    return "Durchmesser" if place.core[:1] == "Ø" and number[:1].isdecimal() and not averaged else ""


def counted_noun(place: Place) -> Said | None:
    """A 1 before the noun that it counts ("nur 1 Tag"), not after the noun that it numbers ("Platz 1 Berlin")."""
    if place.core != "1" or place.end != " " or not re.match("[A-ZÄÖÜ][a-zäöüß]", place.after):
        return None
    if place.after.lower() in {"uhr", *CURRENCIES} or unit(place.after):
        return None
    if place.nearest in NUMBERED or (
        place.written and re.match("[A-ZÄÖÜ].*[^,]$", place.written[-1]) and place.nearest not in _BEFORE_COUNTS
    ):
        return None
    return article(place.after.lower(), place.nearest, guessed=True), True


def times(place: Place) -> Said | None:
    """3x -> "dreimal", 2x3 and 2×3 -> "zwei mal drei", 4x100m."""
    if found := re.fullmatch("([0-9]+)[-–]([0-9]+)[x×]", place.low):
        return f"{counted(int(found.group(1)))} bis {counted(int(found.group(2)))}mal", True
    if (found := re.fullmatch("([0-9]+)x", place.low)) and arithmetic.beside(place):  # y = 3x
        return f"{amount(found.group(1))} ix", True
    if found := re.fullmatch("([0-9]+)[x×]", place.low):
        return f"{counted(int(found.group(1)))}mal", True
    parts = re.split("(?<=[0-9])[x×*·⋅](?=[0-9])", place.core)
    if len(parts) < 2 or not all(re.fullmatch(NUMBER, part) for part in parts[:-1]):
        return None
    last = Place(parts[-1], place.end, place.dotted, (), (), place.following, place.after)
    rest = arithmetic.power(last) or measure(last) or compound(last)
    return (" mal ".join([*(amount(part) for part in parts[:-1]), rest[0]]), True) if rest else None


def pressure(place: Place) -> Said | None:
    """120/80 of blood: "einhundertzwanzig zu achtzig"."""
    found = re.fullmatch("([0-9]{2,3})/([0-9]{2,3})", place.core)
    if found is None or not (place.after == "mmHg" or place.nearest in {"blutdruck", "druck"}):
        return None
    return f"{amount(found.group(1))} zu {amount(found.group(2))}", True


def two(place: Place) -> Said | None:
    """230V/50Hz: two amounts, each with its unit."""
    found = re.fullmatch(rf"({NUMBER})([^\W\d_]+)/({NUMBER})([^\W\d_]+)", place.core)
    units = [unit(found[2]), unit(found[4])] if found else []
    if found is None or not all(units):
        return None
    return " ".join(f"{amount(n)} {u.many}" for n, u in zip((found[1], found[3]), units, strict=True) if u), True


def decade(place: Place) -> Said | None:
    """1990er, 80er-Jahre, 2.000er."""
    found = re.fullmatch(r"'?([0-9]+(?:\.[0-9]{3})*)er(n?)(-.*)?", place.low)
    return (f"{amount(found.group(1))}er{found.group(2)}{found.group(3) or ''}", True) if found else None


def compound(place: Place) -> Said | None:
    """100-Meter-Lauf, 5-kg-Sack, 18-jährig, 10%ig, 3-mal: the number and what it is composed with."""
    if found := re.fullmatch(rf"({NUMBER})\s?(?:%-?|-?prozent)(ig\w*)", place.low):
        return f"{amount(found.group(1))}prozent{found.group(2)}", True
    if found := re.fullmatch("([0-9]+(?:[.][0-9]{3})*)s?te([nrsm]?)", place.core):  # 100ste
        return ordinal(int(found.group(1).replace(".", "")), f"te{found.group(2)}"), True
    if found := re.fullmatch("([0-9]{1,3})[.]-([A-Za-zÄÖÜäöüß].*)", place.core):  # 3.-größte, 5.-Klässler
        whole = "-" in found.group(2)
        said = ordinal(int(found.group(1)), "te" if whole else "t")
        return f"{said}{'-' if whole else ''}{found.group(2) if whole else found.group(2).lower()}", True
    if found := re.fullmatch(rf"({NUMBER})((?:fach|mal)[a-zäöüß]*)", place.core):
        return f"{'ein' if found.group(1) == '1' else amount(found.group(1))}{found.group(2)}", True
    if rows := re.fullmatch("([0-9]+(?:[-–][0-9]+){2,})((?:-[^0-9].*)?)", place.core):  # 4-4-2, 4-4-2-System
        return " ".join(amount(part) for part in re.split("[-–]", rows.group(1))) + rows.group(2).replace(
            "-", " "
        ), True
    if inches := re.fullmatch(rf"({NUMBER})(?:[\"″”]|'')-(\w.*)", place.core):
        return f"{amount(inches.group(1))}-Zoll-{inches.group(2)}", True
    found = re.fullmatch(
        rf"({NUMBER}|[1-9]/[0-9]+|[0-9]+:[0-9]+)(?:[-–]({NUMBER}))?[-–]([^0-9].*|[0-9]+[^0-9].*)", place.core
    )
    if found is None:
        return None
    first, second, rest = found.groups()
    number = "ein" if first == "1" else fraction(first) or " zu ".join(amount(part) for part in re.split("[:/]", first))
    if second:
        number = f"{number} bis {amount(second)}"
    joined = rest[0].islower() and unit(rest.split("-")[0]) is None
    if joined or re.match("Jährig|Fach|Mal", rest):
        return number + rest, True
    return "-".join([number, *(_inner(part) for part in rest.split("-") if part)]), True


def _inner(part: str) -> str:
    if part in MONEY_SIGNS:
        return CURRENCIES[part]
    if re.search("[0-9]", part):
        return " ".join(
            amount(piece) if piece[0].isdecimal() else piece for piece in re.findall("[0-9]+|[^0-9]+", part)
        )
    found = unit(part) if len(part) < 5 else None
    return found.many.replace(" ", "-") if found else part


def parted(place: Place) -> Said | None:
    """1½, ½ l, 1 1/2, 3/4, 1/100."""
    low = place.low
    if low in {"1/2", "½"} and (half := _half(place)):
        return half, True
    if mixed := re.fullmatch(f"([0-9]*) ?([{_PARTS}])(.*)", low):
        whole, part, symbol = mixed.groups()
        found = unit(place.core[len(place.core) - len(symbol) :], close=True) if symbol else None
        if not symbol or found:
            return f"{with_part(whole, VULGAR[part])} {found.many if found else ''}".strip(), True
    if mixed := re.fullmatch("([0-9]+) ([1-9]/[0-9]{1,2})", low):
        return with_part(*mixed.groups()), True
    said = fraction(low, _of_something(place)) if place.nearest not in NUMBERED | _IN_YEARS else ""
    return (said, True) if said else None


_IN_YEARS = frozenset({"ws", "wintersemester", "saison", "spielzeit", "heft", "schuljahr"})


def _of_something(place: Place) -> bool:
    """Whether a part of what follows is meant: 11/12 der Fläche, 5/12 Zoll."""
    after = place.after.lower()
    return (place.core != "9/11" and after in {"der", "des", "aller"}) or after in {"zoll", "inch", "liter", "meilen"}


def _half(place: Place) -> str:
    """1/2 before its noun: "ein halber", "einer halben"; "" where its gender is not known."""
    counted_unit = unit(place.after)
    noun = counted_unit.one if counted_unit else place.after if place.noun_follows else ""
    kind = gender(noun)
    if not kind:
        return ""
    one = article(noun, place.nearest)
    return f"{one} halb{'e' if one == 'eine' else {'m': 'er', 'n': 'es'}[kind] if one == 'ein' else 'en'}"


def span(place: Place) -> Said | None:
    """10-20, 10–20%, 5-10km."""
    found = re.fullmatch(rf"({NUMBER})({_MONEY_OR_UNIT})?(?:[-–…]|[.]{{3}})([-+]?(?:{NUMBER}))(.*)", place.core)
    if found is None:
        return None
    first, first_symbol, second, symbol = found.groups()
    rest = measure(Place(second + symbol, place.end, place.dotted, (), (), place.following, place.after))
    return (f"{amount(first)} bis {rest[0]}", True) if rest and (not first_symbol or symbol) else None


_MONEY_OR_UNIT = r"%|€|°|°C|km|m|kg|g|cm|mm"


def measure(place: Place) -> Said | None:
    """An amount alone or written together with its unit or currency: 5, 3,5%, 5kg, €12,50."""
    after = place.after.lower()
    found = re.fullmatch(rf"({MONEY_BEFORE}|[{_MONEY}])? ?([+-]?)({NUMBER})([^0-9.,\s-][^\s]*)?", place.core)
    if found is None:
        return None
    sign, minus, number, symbol = found.groups()
    sign, name = (sign or "").lower(), {"-": "minus ", "+": "plus "}.get(minus, "")
    if sign and sign not in CURRENCIES:
        return None
    if sign and after in LARGE:
        return name + ("eine" if number == "1" and after != "tausend" else amount(number)), True
    currency = (
        CURRENCIES.get(sign) or CURRENCIES.get((symbol or "").lower()) or (None if symbol else _currency_after(place))
    )
    if currency:
        stated = bool(sign) or bool(symbol) or priced(number)
        return name + _money(number, currency, stated), True
    if symbol is None:
        said = amount(re.sub("^0(?=[0-9])", "", number) if after in {"min", "s", "sek", "minuten"} else number)
        following = unit(place.after)
        if number == "1" and (after == "uhr" or following):
            said = "eine" if following and following.feminine else "ein"
            if following and not following.feminine and gender(following.one) in {"", "m", "n"}:
                said = article(following.one, place.nearest)
        return name + said, True
    attached = unit(symbol, close=True)
    if attached is None or (place.nearest in NUMBERED and len(symbol) == 1):
        return None
    if number == "1":
        return f"{name}{'eine' if attached.feminine else 'ein'} {attached.one}", True
    return f"{name}{amount(number)} {attached.many}", True


def _currency_after(place: Place) -> str | None:
    """Of the word after an amount; "Fr." is one after a price, "3,50 Fr."."""
    if place.after == "Fr" and priced(place.core) and (place.following or "").startswith("Fr."):
        return "Franken"
    return CURRENCIES.get(place.after.lower())


def price_each(place: Place) -> Said | None:
    """1,29€/l, and the 1,29 of 1,29 €/l: "ein Euro neunundzwanzig (pro Liter)"."""
    found = re.fullmatch(rf"([+-]?)({NUMBER})([^0-9.,\s-][^\s]*)?", place.core)
    if found is None or not priced(found.group(2)):
        return None
    minus, number, symbol = found.groups()
    name = _money_each(symbol or place.after)
    each = unit(symbol) if symbol else None
    if not name:
        return None
    per = f" pro {each.many.partition(' pro ')[2]}" if each else ""
    return {"-": "minus ", "+": "plus "}.get(minus, "") + _money(number, name, True) + per, True


def _money_each(symbol: str) -> str:
    """The currency of €/l and €/Std, in which small change is said as such; "" for others."""
    above, slash, _ = symbol.partition("/")
    name = CURRENCIES.get(above.lower(), "") if slash and unit(symbol) else ""
    return name if name in _MONEY_NAMES else ""


def priced(before: str) -> bool:
    """True when the word before is an amount like 5,50, which already says its currency."""
    return re.fullmatch(r"[+-]?[0-9]+(?:[.'][0-9]{3})*[,.][0-9]{2}", before) is not None


def _money(number: str, currency: str, stated: bool) -> str:
    """12,50 -> "zwölf Euro fünfzig"; the currency is left out where the next word says it."""
    grouped = re.fullmatch(r"[0-9]+(?:[.'][0-9]{3})+(?:,[0-9]+)?", number) is not None
    whole, _, cents = (re.sub("[.']", "", number) if grouped else number.replace(".", ",")).partition(",")
    if cents and (len(cents) != 2 or currency not in _MONEY_NAMES):
        return f"{amount(number)} {currency if stated else ''}".strip()
    if cents and not int(whole) and int(cents) and currency in {"Euro", "Dollar", "US-Dollar"}:
        return f"{counted(int(cents))} Cent"
    said = f"{counted(int(whole))} {currency if stated else ''}".strip()
    return f"{said} {cardinal(int(cents))}" if cents and int(cents) else said


def sign_word(core: str) -> str:
    """What a sign alone is called; "" for what is none."""
    return SIGNS.get(core, _SIGN.get(core, "") if not re.search(r"\w", core) and core not in {"-", "--"} else "")
