#!/usr/bin/env bash
# jiwer 4.0.0: the rate of an empty reference is a count of words.
# Expected: an error, infinity or nan: a word error *rate* is errors over the reference's words, and there are none.
# Seen: wer('', 'hello world') is 2, cer('', 'abc') is 3, integers where every other rate is a float: a long invented
# sentence on silence weighs as much as its words, and a mean over sentences is of rates and counts. In a list it
# counts as errors of the whole corpus, which is right. Exits with 1 if it is no count.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet jiwer==4.0.0
cd "$here"
venv/bin/python - <<'PY'
import jiwer

seen = {
    'wer("", "hello world")': jiwer.wer('', 'hello world'),
    'cer("", "abc")': jiwer.cer('', 'abc'),
    'wer("", "")': jiwer.wer('', ''),
    'wer("a b", "a c")': jiwer.wer('a b', 'a c'),
    'wer(["", "a b"], ["x y", "a b"])': jiwer.wer(['', 'a b'], ['x y', 'a b']),
}
for call, value in seen.items():
    print(call, '=', repr(value))
alone = seen['wer("", "hello world")']
raise SystemExit(0 if alone == 2 and seen['cer("", "abc")'] == 3 else 1)
PY
