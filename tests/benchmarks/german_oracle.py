"""How numbers, dates and units are said in German, beside nemo_text_processing's grammar.

    python tests/benchmarks/german_oracle.py --python ENVIRONMENT/bin/python [--count 1000]

ENVIRONMENT has `nemo_text_processing==1.2.0`, which wants packages that ours does not. The sentences are made from a
seed, one of each kind in turn. Prints for each kind how many are said alike, blanks aside, and what sets the others
apart; any that no known difference explains is printed whole. It takes the grammar minutes to begin, and then seconds a
sentence.
"""

from __future__ import annotations

import argparse
import collections
import random
import re
import subprocess

from streamst.languages.german.nouns import MONTHS
from streamst.languages.german.spoken import spoken_german

UNITS = "km kg m cm mm g l ml h min s % °C m² km/h kW kWh V A Hz GB MB t ha".split()  # noqa: SIM905
ORACLE = """
import sys
from nemo_text_processing.text_normalization.normalize import Normalizer
known = Normalizer(input_case="cased", lang="de")
for line in sys.stdin:
    print(known.normalize(line.strip(), verbose=False), flush=True)
"""
MONTH_AFTER = "|".join(MONTHS)


def sentence(number: int, draw: random.Random) -> tuple[str, str]:
    """A kind, and a sentence of it."""
    whole = draw.choice([draw.randint(0, 99), draw.randint(100, 9999), draw.randint(10_000, 10**9)])
    grouped = f"{whole:,}".replace(",", ".") if whole > 9999 else str(whole)
    day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(1900, 2030)
    hour, minute, unit = draw.randint(0, 23), draw.randint(0, 59), draw.choice(UNITS)
    kinds = {
        "number": f"Es waren {grouped} Leute da.",
        "date": f"Er kam am {day}. {MONTHS[month - 1].capitalize()} {year} an.",
        "date in digits": f"Er kam am {day:02d}.{month:02d}.{year} an.",
        "amount": f"Das sind {draw.randint(2, 999)} {unit} davon.",
        "decimal amount": f"Das sind {draw.randint(1, 99)},{draw.randint(1, 99)} {unit} davon.",
        "time": f"Wir treffen uns um {hour}:{minute:02d} Uhr dort.",
        "money": f"Das kostet {draw.randint(1, 2000)},{draw.randint(0, 99):02d} € heute.",
        "ordinal": f"Das ist der {draw.randint(1, 199)}. Versuch heute.",
        "fraction": f"Er nahm {draw.randint(1, 9)}/{draw.randint(2, 10)} davon.",
    }
    return list(kinds.items())[number % len(kinds)]


def letters(text: str) -> str:
    """What is compared: no blanks, no capitals, no punctuation."""
    return re.sub(r"[^a-zäöüß€%]", "", text.lower())


def plain_date(text: str) -> str:
    """Without the ending of the day and the hundreds of the year."""
    return re.sub(rf"te[rn](?={MONTH_AFTER})", "te", text).replace("hundert", "")


def judged(written: str, oracle: str) -> str:
    """Why the oracle says otherwise; "alike" where it does not, "" where nothing known explains it."""
    ours, theirs = letters(" ".join(spoken_german(written))), letters(oracle)
    if ours == theirs:
        return "alike"
    if " am " in written and plain_date(ours) == plain_date(theirs):
        return 'it says "am siebter Mai", and years without "hundert"'
    if re.search(r"[0-9]\.[0-9]{3}", written) and "punkt" in theirs:
        return "it says grouped thousands digit by digit"
    if re.search(r"€|\b(?:kWh?|MB|GB|ml|ha|h|min|t|V|A|Hz|km/h)\b|m²", oracle):
        return "it leaves the sign of the unit or the currency"
    return "it says 9/2 and 5/5 as fractions" if "/" in written else ""


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="Of an environment with nemo_text_processing.")
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    draw = random.Random(17)
    asked = [sentence(number, draw) for number in range(options.count)]
    command = [options.python, "-c", ORACLE]
    given = "".join(f"{written}\n" for _, written in asked)
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True)
    answers = done.stdout.splitlines()[-len(asked) :]
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for (kind, written), oracle in zip(asked, answers, strict=True):
        why = judged(written, oracle)
        found[kind, why] += 1
        if not why:
            print(f"{written} it: {oracle} we: {' '.join(spoken_german(written))}")
    for (kind, why), count in sorted(found.items()):
        print(f"{kind}: {count} {why or 'otherwise'}")


if __name__ == "__main__":
    main()
