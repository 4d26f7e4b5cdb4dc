#!/usr/bin/env bash
# num2words 0.5.14: German numbers with a one before the thousands are spelled wrongly.
# Expected: 101000 is "einhunderteintausend" (Duden: eintausend, hunderteintausend): before tausend it is ein, as num2words
# itself writes 1000 and 1001000.
# Seen: "einhunderteinstausend", and so for 201000, 301000 ... and within larger numbers. A voice says it as written.
# Exits with 1 if the s is gone.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet num2words==0.5.14
cd "$here"
venv/bin/python - <<'PY'
from num2words import num2words

wrong = {number: num2words(number, lang='de') for number in (101_000, 201_000, 901_000, 5_101_000)}
right = {number: num2words(number, lang='de') for number in (1_000, 21_000, 1_001_000)}
for number, words in (right | wrong).items():
    print(number, words)
assert right[1_000] == 'eintausend' and right[1_001_000] == 'eine Million eintausend'
raise SystemExit(0 if all('einstausend' in words for words in wrong.values()) else 1)
PY
