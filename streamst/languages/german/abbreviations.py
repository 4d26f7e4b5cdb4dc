"""German abbreviations: what they stand for, and whether a sentence can end with them."""

from __future__ import annotations

import re

from .cases import DETERMINERS, ending
from .measures import measured, priced
from .nouns import MONTHS_SHORT, gender, month
from .place import Place, Said
from .spelling import spelled

LEADING = {  # a sentence never ends after these: something belongs to them
    "z.b": "zum Beispiel", "d.h": "das heißt", "ca": "zirka", "mr": "Mister", "mrs": "Missis", "gebr": "Gebrüder",
    "mag": "Magister", "dr": "Doktor", "prof": "Professor", "hr": "Herr",
    "hrn": "Herrn", "fr": "Frau", "frl": "Fräulein", "nr": "Nummer", "nrn": "Nummern", "inkl": "inklusive",
    "exkl": "exklusive", "zzgl": "zuzüglich", "abzgl": "abzüglich", "evtl": "eventuell", "ggf": "gegebenenfalls",
    "vgl": "vergleiche", "bzgl": "bezüglich", "bspw": "beispielsweise", "bzw": "beziehungsweise",
    "bes": "besonders", "insb": "insbesondere", "insbes": "insbesondere", "i.d.r": "in der Regel", "v.a": "vor allem",
      "d.i": "das ist", "i.s.v": "im Sinne von",
      "i.h.v": "in Höhe von",  "z.hd": "zu Händen",
      "a.a.o": "am angegebenen Ort",
      "bd": "Band", "bde": "Bände", "abs": "Absatz", "art": "Artikel",
    "abb": "Abbildung", "kap": "Kapitel", "abschn": "Abschnitt", "tab": "Tabelle", "ziff": "Ziffer",
    "anm": "Anmerkung", "tel": "Telefon", "mind": "mindestens", "max": "maximal", "st": "Sankt", "dipl": "Diplom",
    "co": "Ko", "hrsg": "Herausgeber", "hg": "Herausgeber", "verf": "Verfasser", "aufl": "Auflage",
    "jgg": "Jahrgänge", "geb": "geboren", "gest": "gestorben", "verh": "verheiratet", "gez": "gezeichnet",
    "betr": "betrifft", "gem": "gemäß", "lt": "laut", "einschl": "einschließlich",
    "usf": "und so fort", "vorm": "vormals", "urspr": "ursprünglich",
    "wg": "wegen", "zw": "zwischen", "zi": "Zimmer",
    "zus": "zusammen", "durchschn": "durchschnittlich",
    "rd": "rund", "ing": "Ingenieur", "med": "med", "phil": "phil", "jur": "jur",
    "rer": "rer", "nat": "nat", "habil": "habil", "theol": "theol", "h.c": "honoris kausa", "e.h": "ehrenhalber",
    "min": "mindestens",  "v.l.n.r": "von links nach rechts", "m.a.w": "mit anderen Worten",
    "u.z": "und zwar", "u.zw": "und zwar", "s.a": "siehe auch", "i.j": "im Jahr", "m.w": "meines Wissens",
    "b.z.w": "beziehungsweise", "dgl": "dergleichen", "kfm": "Kaufmann",
    "dipl.-ing": "Diplom-Ingenieur", "dipl.-kfm": "Diplom-Kaufmann", "dipl.-psych": "Diplom-Psychologe",
    "dipl.-inf": "Diplom-Informatiker", "dipl.-inform": "Diplom-Informatiker",
    "dipl.-math": "Diplom-Mathematiker", "dipl.-biol": "Diplom-Biologe", "dipl.-päd": "Diplom-Pädagoge",
    "dipl.-jur": "Diplom-Jurist", "dipl.-phys": "Diplom-Physiker", "dipl.-chem": "Diplom-Chemiker",
    "dipl.-volksw": "Diplom-Volkswirt", "dipl.-betriebsw": "Diplom-Betriebswirt", "dr.-ing": "Doktor-Ingenieur",
    "b.a": "beh-ah", "m.a": "emm-ah", "m.sc": "Master of Science", "b.sc": "Bachelor of Science",
    "ph.d": "peh-hah-deh", "ll.m": "Master of Laws", "ll.b": "Bachelor of Laws", "inh": "Inhaber", "fam": "Familie",
    "kto": "Konto", "z.h": "zu Händen", "i.s.d": "im Sinne des", "i.v.m": "in Verbindung mit", "bsp": "Beispiel",
    "bspe": "Beispiele", "zit": "zitiert", "übers": "Übersetzer", "ltg": "Leitung", "gegr": "gegründet",
    "ggü": "gegenüber", "ausschl": "ausschließlich", "ausg": "Ausgabe", "vors": "Vorsitzender", "hptst": "Hauptstadt",
    "i.b": "im Breisgau", "i.br": "im Breisgau", "i.g": "in Gründung", 
    "mult": "multiplex", "dres": "Doktores", "i.d.f": "in der Fassung",
    "az": "Aktenzeichen",
    "bt-drs": "Bundestagsdrucksache", "anl": "Anlage", "lit": "litera", "urt": "Urteil", "hs": "Halbsatz",
    "kl": "Klasse", "i.e": "das ist", "a.d.o": "an der Oder", "o.d.t": "ob der Tauber",
    "rn": "Randnummer", "drs": "Drucksache", "bgbl": "Bundesgesetzblatt",
}  # fmt: skip
CLOSING = {  # a sentence may end with these
    "o.k": "okay", "u.e": "unseres Erachtens", "d.j": "dieses Jahres", "d.m": "dieses Monats", "a.m": "am Main",
    "i.w.s": "im weiteren Sinne", "i.e.s": "im engeren Sinne", "u.a.w.g": "um Antwort wird gebeten",
    "stck": "Stück", "pkg": "Packungen",
    "i.v": "in Vertretung",
    "i.r": "im Ruhestand",
    "i.a": "im Auftrag",
    "i.o": "in Ordnung",
    "z.z": "zur Zeit",
    "z.zt": "zur Zeit",
    "m.e": "meines Erachtens",
    "u.u": "unter Umständen",
    "z.t": "zum Teil",
    "u.a": "unter anderem",
    "o.ä": "oder ähnliches", "u.ä": "und ähnliches", "u.dgl": "und dergleichen", "s.o": "siehe oben",
    "s.u": "siehe unten", "v.chr": "vor Christus", "n.chr": "nach Christus", "v.u.z": "vor unserer Zeitrechnung",
    "usw": "und so weiter", "n.u.z": "nach unserer Zeitrechnung", "u.s.w": "und so weiter", "etc": "et zetera",
    "u.v.m": "und vieles mehr", "u.v.a": "und viele andere", "u.v.a.m": "und viele andere mehr",
    "u.a.m": "und anderes mehr", "e.v": "eingetragener Verein", "e.g": "eingetragene Genossenschaft",
    "a.d": "außer Dienst", "n.n": "nomen nominandum", "p.a": "pro Jahr", "v.h": "von Hundert",
    "n.v": "nach Verlängerung", "n.e": "nach Elfmeterschießen", "ü.nn": "über Normalnull",
    "ü.d.m": "über dem Meeresspiegel", "b.w": "bitte wenden", "a.s.a.p": "so bald wie möglich", "str": "Straße",
    "pl": "Platz", "std": "Stunden", "sek": "Sekunden", "mio": "Millionen", "mrd": "Milliarden", "bio": "Billionen",
    "tsd": "tausend", "jh": "Jahrhundert", "jhd": "Jahrhundert", "jhdt": "Jahrhundert", "mwst": "Mehrwertsteuer",
    "ust": "Umsatzsteuer", "stk": "Stück", "hbf": "Hauptbahnhof", "bhf": "Bahnhof", "ff": "folgende", "f": "folgende",
    "mill": "Millionen", "tägl": "täglich", "monatl": "monatlich", "jährl": "jährlich", "wöchentl": "wöchentlich",
    "stündl": "stündlich", "ver": "Version", "whg": "Wohnung", "temp": "Temperatur", "fa": "Firma", "jg": "Jahrgang",
    "abt": "Abteilung", "bj": "Baujahr", "anz": "Anzahl", "pkt": "Punkte", "pers": "Personen", "einw": "Einwohner",
    "univ": "Universität", "o.b": "ohne Befund", "d.ä": "der Ältere", "nachf": "Nachfolger", "m.ü.m": "Meter über Meer",
    "m.ü.nn": "Meter über Normalnull", "nachm": "nachmittags", "sen": "senior", "v.l": "von links", "v.r": "von rechts",
    "zzt": "zurzeit", "ztr": "Zentner", "o.j": "ohne Jahr", "o.o": "ohne Ort", "u.ä.m": "und ähnliches mehr",
    "k.a": "keine Angabe", "e.k": "eingetragener Kaufmann", "b.a.w": "bis auf Weiteres",
    "r.k": "römisch-katholisch", "verst": "verstorben", "gesch": "geschieden", "led": "ledig", "abf": "Abfahrt",
    "ank": "Ankunft", "mtl": "monatlich", "jhrl": "jährlich", "p.p": "pro Person", "p.m": "pro Monat",
    "mitgl": "Mitglieder", "tgl": "täglich", "spez": "speziell", "jhs": "Jahrhunderts", "pck": "Päckchen",
    "o.b.d.a": "ohne Beschränkung der Allgemeinheit", "q.e.d": "was zu beweisen war", "i.allg": "im Allgemeinen",
    "m.w.n": "mit weiteren Nachweisen", "h.m": "herrschende Meinung", "jt": "Jahrtausend", "jts": "Jahrtausends",
    "red": "Redaktion", "n.j": "nächsten Jahres", "s.e": "seines Erachtens", "zz": "zurzeit",
}  # fmt: skip
ADJECTIVES = {  # end as their place asks
    "sog": "sogenannt", "o.g": "oben genannt", "s.g": "so genannt", "ehem": "ehemalig", "allg": "allgemein",
    "versch": "verschieden", "evang": "evangelisch", "ev": "evangelisch", "kath": "katholisch", "staatl": "staatlich",
    "städt": "städtisch", "röm": "römisch", "hl": "heilig", "entspr": "entsprechend", "kgl": "königlich", "dt":
    "deutsch", "engl": "englisch", "franz": "französisch", "ital": "italienisch", "amerik": "amerikanisch",
    "europ": "europäisch", "österr": "österreichisch", "schweiz": "schweizerisch", "tägl": "täglich",
    "lfd": "laufend", "stv": "stellvertretend", "stellv": "stellvertretend", "nördl": "nördlich", "südl": "südlich",
    "östl": "östlich", "westl": "westlich", "öffentl": "öffentlich", "wiss": "wissenschaftlich", "gesetzl":
    "gesetzlich", "männl": "männlich", "weibl": "weiblich", "unbek": "unbekannt", "zusätzl": "zusätzlich", "gew":
    "gewöhnlich", "durchschnittl": "durchschnittlich", "wirtsch": "wirtschaftlich",
}  # fmt: skip
ABBREVIATIONS = LEADING | CLOSING | ADJECTIVES
NUMBERING = frozenset(
    {"anl", "hs", "kl", "rn", "art", "abs", "kap", "abb", "tab", "bd", "nr", "nrn", "ziff", "anm", "abt", "ver"}
)  # numbers
_ALSO_WORDS_TEXT = """
art max fr st hg med nat co verf gem ver zus jur phil bes mill temp ing lt wg fa bio hl rer pl zw tab abt geb anz allg
gest f abs sen gesch led inh fam ausg vors übers zit spez gew anl hs kl lit urt red rn
"""
_ALSO_WORDS = frozenset(_ALSO_WORDS_TEXT.split())  # "Das ist Max.": only abbreviations where something follows them
_NAMES = frozenset({"Max", "Bio", "Med", "Nat", "Jur", "Phil", "Rer"})  # written so they are no abbreviations
_WITHOUT_DOT_TEXT = """
bzw usw etc ca mio mrd dr prof ggf evtl inkl zzgl mwst hbf nr bspw tsd stk
"""
_WITHOUT_DOT = frozenset(_WITHOUT_DOT_TEXT.split())
_ENUMERATION = frozenset({"usw", "etc", "u.s.w", "u.v.m", "u.v.a", "u.a.m", "u.v.a.m", "o.ä", "u.ä", "u.dgl"})
# after these a capital begins a sentence, a noun's as well
_PARTED = tuple(key for key in ABBREVIATIONS if "." in key and "-" not in key)
_SEE = frozenset(
    {"s", "abb", "kap", "tab", "anm", "abschn", "oben", "unten", "dort", "hierzu", "dazu", "anlage", "auch"}
)
_NUMBERS = {  # what of Art.-Nr., Tel.-Nr. and others is numbered
    "art": "Artikel", "best": "Bestell", "tel": "Telefon", "fax": "Fax", "kto": "Konto", "kd": "Kunden",
    "rg": "Rechnungs", "re": "Rechnungs", "hs": "Haus", "reg": "Register", "ser": "Serien",
    "mat": "Material", "matr": "Matrikel", "vers": "Versicherungs", "pers": "Personal",
    "steuer": "Steuer", "lfd": "laufende ",
}  # fmt: skip
_SEMESTERS = {"SS": "Sommersemester", "WS": "Wintersemester", "SoSe": "Sommersemester", "WiSe": "Wintersemester"}
_LAW = frozenset({"abs", "absatz", "§", "§§", "art", "artikel"})


_NOTED = {"red": "der", "verf": "des", "übers": "des", "hrsg": "des"}  # Anm. d. Red.


def goes_on(unit: str, word: str) -> bool:
    """True when `word` goes on an abbreviation that is written in parts: "u." + "v.", "v." + "Chr."."""
    begun = re.fullmatch(r"[^\W\d_]{1,2}\.(?: [^\W\d_]{1,3}\.)*", unit)
    more = re.fullmatch(r"[^\W\d_]{1,4}\.[^\w.]*", word)
    return bool(begun and more) and _known(f"{unit} {word}")


def abbreviation(place: Place) -> Said | None:
    """What an abbreviation with a point stands for between its words."""
    low = re.sub(r"\s", "", place.low)
    if re.fullmatch("ff?", low) and place.nearest[-1:].isdecimal():
        return "folgende", not place.dotted or place.sentence_follows
    if low == "m/w/d":
        return "männlich weiblich divers", True
    if place.core in _SEMESTERS and (re.match("(?:19[7-9]|20)[0-9]", place.after) or place.core[1].islower()):
        return _SEMESTERS[place.core], True
    if not (place.dotted or "." in low):
        return (ABBREVIATIONS[low], True) if low in _WITHOUT_DOT else None
    rules = (_by_neighbours, _of_texts, _of_people, _compound, _listed)
    return next((said for rule in rules if (said := rule(place, low))), None)


def _by_neighbours(place: Place, low: str) -> Said | None:
    """Of those that mean one thing or another, or nothing, by the words beside them."""
    if low in MONTHS_SHORT and _dated(place):
        return MONTHS_SHORT[low], place.sentence_follows
    if place.core.replace(" ", "") == "i.E" and re.fullmatch("[0-9]+:[0-9]+", place.nearest):
        return "im Elfmeterschießen", place.last
    if place.core == "Fr" and place.nearest[-1:].isdecimal() and (place.sentence_follows or not place.noun_follows):
        return "" if priced(place.nearest) else "Franken", place.sentence_follows  # a price says it
    if low == "min" and place.after[:1].isdecimal() and not measured(place.nearest):
        return "mindestens", False
    if low == "v" and place.dotted and re.fullmatch(r"[0-9]{1,2}\.\S*", place.following or ""):
        return "vom", False
    if low == "allg" and place.nearest == "im":
        return "Allgemeinen", place.sentence_follows
    if place.core == "u" and place.dotted and not place.last:
        return "und", False
    if place.core.replace(" ", "") == "a.d" and place.noun_follows:
        return "an der", False
    return None


def _of_texts(place: Place, low: str) -> Said | None:
    """Anm. d. Red., s. S. 5, § 3 S. 1."""
    if low == "s" and place.after[:1].isdecimal():
        return ("Satz" if _LAW & set(place.before[-2:]) else "Seite"), False
    if low == "s" and place.dotted and place.after.lower() in _SEE:
        return "siehe", False
    if place.core == "d" and place.nearest in {"anm", "anmerkung"} and place.after.lower() in _NOTED:
        return _NOTED[place.after.lower()], False
    if low in _NOTED and place.written and place.written[-1] == "d.":
        return f"{ABBREVIATIONS[low]}{'s' if _NOTED[low] == 'des' else ''}", True
    return None


def _dated(place: Place) -> bool:
    """A month in short after its day or before its year: 5. Dez., Dez. 2020."""
    day = place.written[-1] if place.written else ""
    if place.last:
        return re.fullmatch(r"[0-9]{1,2}\.", day) is not None
    return place.nearest.isdecimal() or re.fullmatch("[0-9]{4}", place.after) is not None


def _of_people(place: Place, low: str) -> Said | None:
    """What stands beside names, and means something else elsewhere."""
    named = bool(place.written) and place.written[-1][:1].isupper()
    if low in {"hrsg", "hg"} and place.after == "von":
        return "herausgegeben", False
    if low == "pp" and place.nearest == "etc":
        return "peh peh", True
    if low == "em" and place.dotted and place.nearest in {"prof", "professor"}:
        return "emeritus", place.sentence_follows
    if low == "geb" and place.noun_follows and not month(place.after) and place.nearest not in {"am", "ist", "wurde"}:
        return "geborene", False
    if low == "vorm" and (place.nearest == "uhr" or place.nearest[-1:].isdecimal()):
        return "vormittags", place.sentence_follows
    if low in {"jun", "sen"} and place.dotted and named:
        return {"jun": "junior", "sen": "senior"}[low], place.sentence_follows
    if low == "d.j" and named and not _in_a_year(place.nearest):
        return "der Jüngere", place.sentence_follows
    return None


def _in_a_year(word: str) -> bool:
    """What "d. J." may belong to when it says a year: Ende Mai d. J."""
    return (
        bool(month(word)) or re.search("jahr|sommer|herbst|winter|frühling|quartal|anfang|ende|mitte", word) is not None
    )


def _compound(place: Place, low: str) -> Said | None:
    """Streets, squares, and what is numbered: Art.-Nr."""
    if numbered := re.fullmatch(r"(\w+)\.?-nr", low):
        name = _NUMBERS.get(numbered.group(1), numbered.group(1) if len(numbered.group(1)) > 3 else None)
        return (f"{name}{'Nummer' if name.endswith(' ') else 'nummer'}", False) if name else None
    if place.dotted and (square := re.fullmatch("(.{4,})pl", low)):
        return f"{square.group(1)}platz", place.sentence_follows
    if place.dotted and (street := re.fullmatch("(.+[^-])str|(.+-)str", low)):
        return f"{street.group(1) or street.group(2)}straße", place.sentence_follows
    return None


def _listed(place: Place, low: str) -> Said | None:
    if low in ADJECTIVES and place.noun_follows and not place.sentence_follows:
        found = ending(place.before, place.after.lower(), True)
        if re.fullmatch(".+(?:ender|neter)", place.after) and place.nearest not in DETERMINERS:
            return f"{ADJECTIVES[low]}er", False  # stellvertretender Vorsitzender
        return ADJECTIVES[low] + (found if place.before or gender(place.after) else "e"), False
    if low in ABBREVIATIONS and _meant(place, low):
        return ABBREVIATIONS[low], place.last or (low in CLOSING and _ends(place, low))
    if " " in place.core:  # the beginning of one
        return " ".join(spelled(part.rstrip(".")) for part in place.core.split()), place.sentence_follows
    return None


def _known(text: str) -> bool:
    """Whether "u. v. m." is an abbreviation or begins one. Initials of people have capitals: U. A. Müller."""
    compact = re.sub(r"\s|[^\w.]+$", "", text).rstrip(".")
    if compact[:1].isupper() and compact[2:3].isupper() and compact not in {"Z.B", "M.Sc", "B.Sc"}:
        return False
    low = compact.lower()
    return any(key == low or key.startswith(f"{low}.") for key in _PARTED)


def _meant(place: Place, low: str) -> bool:
    """Whether the abbreviation is meant, and not a word or a name at the end of a sentence."""
    if low in NUMBERING and low in _ALSO_WORDS:
        return re.match("[0-9IVX]", place.after) is not None
    return low not in _ALSO_WORDS or not (
        (place.core in _NAMES and not place.after[:1].isdecimal()) or place.sentence_follows
    )


def _ends(place: Place, low: str) -> bool:
    return place.sentence_follows or (low in _ENUMERATION and place.noun_follows)
