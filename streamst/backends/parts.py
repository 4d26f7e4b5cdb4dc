"""What the parts of other people's models have in common: the files that must be there."""

from __future__ import annotations

from pathlib import Path

from streamst.errors import CheckpointError


def check_files(folder: Path, what: str, *names: str) -> None:
    """CheckpointError that names the first file of `names` that `folder` lacks; "a|b" is one file of two."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder; needed: {what}")
    for name in names:
        if not any((folder / one).is_file() for one in name.split("|")):
            raise CheckpointError(f"{folder} is not {what}: {' or '.join(name.split('|'))} is missing")
