"""Gender of German nouns that numbers stand before: those of a list, words composed with one, and by their endings."""

from __future__ import annotations

import re
from functools import lru_cache

MONTHS = (
    "januar", "februar", "märz", "april", "mai", "juni", "juli", "august", "september", "oktober", "november",
    "dezember",
)  # fmt: skip
MONTHS_SHORT = {
    "jan": "Januar", "feb": "Februar", "mär": "März", "mrz": "März", "apr": "April", "jun": "Juni", "jul": "Juli",
    "aug": "August", "sep": "September", "sept": "September", "okt": "Oktober", "nov": "November", "dez": "Dezember",
}  # fmt: skip
DAYS = frozenset(
    {"montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonnabend", "sonntag", "mo", "di", "mi",
     "do", "fr", "sa", "so"}
)  # fmt: skip
_MASCULINE = """
abend absatz abschluss abschnitt abstand abstieg advent akt angriff anlauf anruf anteil antrag apfel april arm artikel
arzt aspekt aufstieg auftritt august ausgang ball band baum becher beginn beitrag berg bericht besuch besucher betrag
bezirk blick brief bruder buchstabe bund bus cent cup dezember dienstag dollar donnerstag durchgang durchlauf eindruck
eingang einsatz elfmeter enkel entwurf erfolg esslöffel euro faktor fall fc februar fehler film finger flug flur fluss
freitag freund frühling fsv fuß fünftel gang gast gedanke gewinner gipfel grad grund halt handel herbst herr himmel
hof hund jahrgang januar juli juni kaiser kandidat kanzler kauf kerl kongress kontinent kopf kreis krieg kunde kurs
könig lauf lehrer lehrgang leiter liter lockdown lohn läufer löffel mai mann markt meister mensch meter minister
mittwoch monat mond montag morgen märz nachbar nachmittag nachteil name november nutzer oktober onkel ort papst
paragraf paragraph parteitag patient planet platz pokal preis präsident punkt rang raum regen rekord ring roman
rücktritt saal sack samstag satz sc schlag schluss schnee schritt schuss schüler see september sieg sieger sohn sommer
sonnabend sonntag spieler staat start stein stern stich stock stopp strich strom student stuhl sturm sv tag teelöffel
teil teilnehmer text termin test tisch titel tod topf treffer unfall unterschied vater verein verkauf vers versuch
vertrag vize vormittag vorname vorschlag vorsitzende vorsitzender vorteil wagen wahlgang wald wechsel weg weltkrieg
wettbewerb wind winter wunsch zahn zeitpunkt zeitraum zentner zeuge zug zustand zweig zyklus
"""
_FEMININE = """
ableitung abstimmung abteilung adresse amtszeit analyse antwort armee art aufgabe auflage ausgabe auswahl bahn
bedingung behandlung bombe brigade brücke bundesliga chance chemotherapie dame dimension division dose dosis ebene
ecke ehe em episode erde etage etappe fahrt fassung firma flasche folge frage frau freundin gegend geige generation
grenze gruppe halbzeit hand hochzeit hälfte hürde idee impfung insel instanz kammer karte kategorie katze kirche kiste
klasse kompanie kopie kraft krise kugel kultur kurve legende legislaturperiode lektion lesung liga linie liste mahnung
mail mannschaft marke maschine meile meisterschaft meldung milliarde million minute mutter möglichkeit nachricht nacht
nation niederlage note novelle nummer olympiade oma operation option ordnung packung partei partie pause periode
person phase polizei portion position potenz prise prüfung quelle rakete rate regel reihe reise republik revolution
rolle runde sache saison scheibe schicht schule schwangerschaft schwester seite sekunde sendung serie sinfonie sitzung
sonne sorte spalte sprache spritze spur stadt staffel stelle stimme straße strophe studie stufe stunde symphonie szene
tablette tante steuer mauer feier feder oper faser ader schulter trauer dauer leber butter klammer tasse taste
therapie tochter tonne tour tür tüte uhr umfrage universität untersuchung variante version violine waffe wahl welle
welt weltmeisterschaft wende wm woche wurzel zahl zeile zeit zeitung ziffer übung
"""
_NEUTER = """
abteil album angebot argument auge auto bataillon bein beispiel bett bier bild blatt brot buch büro date ding
dokument dorf drittel duell dutzend ei eigentor element ende enkelkind ergebnis examen feld fenster finale flugzeug
foto gebot gebäude gegenteil gegentor gericht geschenk geschoss geschäft gesetz gespräch glas gleis glied gold gramm
gymnasium halbjahr handy haus heft hotel huhn interview jahr jahrhundert jahrtausend jahrzehnt jubiläum kapitel kilo
kilogramm kind konzert konzil land leben lebensjahr level lied mal medikament mitglied mittel modell museum mädchen
obergeschoss ohr opfer paar pferd pfund problem produkt projekt prozent quartal regiment reich rennen restaurant
schiff semester set signal silber spiel staatsexamen stadium stockwerk stück symbol system team theater tier tor
training treffen trimester turnier unternehmen urteil viertel werk wochenende wort zeichen ziel zimmer
"""
_GENDERS = {
    noun: gender for gender, nouns in (("m", _MASCULINE), ("f", _FEMININE), ("n", _NEUTER)) for noun in nouns.split()
} | {
    "og": "n",
    "ug": "n",
    "dg": "n",
    "jt": "n",
    "aufl": "f",
    "ausg": "f",
    "abt": "f",
    "jg": "m",
    "jh": "n",
    "jhd": "n",
    "jhdt": "n",
}
_BY_ENDING = (
    ("f", "(?:ung|heit|keit|schaft|tion|sion|tät|enz|anz|erin|ik|ie)"),
    ("n", "(?:chen|lein|ment|tum)"),
    ("m", "(?:ling|ismus|ant|ist)"),
)
SHORTEST_FIRST = 3  # letters of what a noun is composed with
_SHORT_LAST = frozenset({"tag", "mal", "weg", "zug", "cup", "bus"})  # of three letters; others end other words, too


@lru_cache(maxsize=4096)
def listed(noun: str) -> str:
    """ "m", "f" or "n" of a noun of the list, or one composed with it (Weltkrieg, Krieg); "" for others."""
    noun = noun.lower()
    if noun in _GENDERS:
        return _GENDERS[noun]
    ends = (noun[start:] for start in range(SHORTEST_FIRST, len(noun) - 2))  # the longest known one decides
    return next((_GENDERS[end] for end in ends if end in _GENDERS and (len(end) > 3 or end in _SHORT_LAST)), "")


def gender(noun: str) -> str:
    """As `listed`, and by the endings that tell a gender; "" where nothing does."""
    return listed(noun) or next((g for g, end in _BY_ENDING if re.fullmatch(f".{{2,}}{end}", noun.lower())), "")


def plural(noun: str) -> bool:
    """Whether `noun` after "die" is several: Experten, Spieler, Plätze, Autos; not Elite, Regel, Basis."""
    noun = noun.lower()
    if kind := gender(noun):
        return kind == "n" or (kind == "m" and not noun.endswith("ende"))  # die Vorsitzende is one woman
    if noun.endswith("e"):  # of a noun that is known without it
        stem = noun[:-1]
        return any(listed(one) != "" for one in (stem, re.sub("(.*)[äöü](?=[^äöü]*$)", _plain_vowel, stem)))
    return re.fullmatch("(?:.{2,}(?:e[rl]?n|n|er)|.+[^iuas]s)", noun) is not None


def surely_plural(noun: str) -> bool:
    """The same without an article that would tell: nouns in -en that are no man's or thing's name."""
    many = "(?:ungen|heiten|keiten|schaften|ionen|innen|täten|isten|anten|enten|perten|ogen|aten)"
    return not listed(noun) and re.fullmatch(f".{{2,}}{many}", noun.lower()) is not None


def _plain_vowel(found: re.Match[str]) -> str:
    vowel = found.group()[-1]
    return found.group(1) + {"ä": "a", "ö": "o", "ü": "u"}[vowel]


def month(word: str) -> str:
    """The name of a month written in full or short, without its point; "" for other words."""
    low = word.lower()
    return low.capitalize() if low in MONTHS else MONTHS_SHORT.get(low, "")
