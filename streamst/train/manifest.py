"""Manifests of recordings: a tab-separated header with at least `path` and `text`."""

from __future__ import annotations

import csv
from pathlib import Path

from streamst.errors import InputError


def read_manifest(path: Path, split: str | None = None) -> list[dict[str, str]]:
    """The rows (path, duration_s, speaker, text, ... [, split]) that belong to `split`; InputError if it is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise InputError(f"manifest {path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"manifest {path} cannot be read: {error}") from error
    if not rows or "path" not in rows[0] or "text" not in rows[0]:
        raise InputError(f"{path}: expected a tab-separated header with at least path and text")
    for number, row in enumerate(rows, 2):
        if row["path"] is None or row["text"] is None:
            raise InputError(f"{path}:{number}: the line has fewer columns than the header")
    return [row for row in rows if split is None or row.get("split") == split]
