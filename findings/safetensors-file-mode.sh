#!/usr/bin/env bash
# safetensors 0.8.0: a file that save_file writes can be read by its owner only, whatever the umask says.
# Expected: mode 644 with umask 022, as of open(), numpy.save and every other writer: models are made to be handed on, and
# a service that runs as another user reads them.
# Seen: mode 600 (the file is made as a temporary one and renamed); an existing file of mode 644 becomes 600 as well. In a
# wheel or an image that is built of it, the model cannot be read by the service's user. Exits with 1 if the umask rules.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/python" -m pip --disable-pip-version-check install --quiet safetensors==0.8.0 numpy==2.4.6
cd "$here"
venv/bin/python - <<'PY'
import os

import numpy as np
from safetensors.numpy import save_file

os.umask(0o022)
np.save('array.npy', np.zeros(3))
save_file({'a': np.zeros(3)}, 'new.safetensors')
open('old.safetensors', 'w').close()
before = os.stat('old.safetensors').st_mode & 0o777
save_file({'a': np.zeros(3)}, 'old.safetensors')
modes = {name: oct(os.stat(name).st_mode & 0o777) for name in ('array.npy', 'new.safetensors', 'old.safetensors')}
print('umask 022:', modes, '; old.safetensors was', oct(before), 'before')
assert modes['array.npy'] == oct(before) == '0o644'
raise SystemExit(0 if modes['new.safetensors'] == modes['old.safetensors'] == '0o600' else 1)
PY
