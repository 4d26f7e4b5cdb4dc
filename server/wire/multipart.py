"""What a form sends: RFC 7578, whole in memory, bounded by whoever reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamst.errors import ProtocolError

from . import codes

MOST_PARTS = 64
HEADER_BYTES = 8192
BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^;\s]{1,70}))', re.IGNORECASE)
NAME = re.compile(r'(?<![\w*])name="([^"]*)"', re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """Fields by their names, in order, and files."""

    fields: dict[str, list[str]]
    files: dict[str, bytes]

    def text(self, name: str) -> str | None:
        """The last value of a field, None where there is none."""
        return self.fields[name][-1] if name in self.fields else None


def boundary_of(content_type: str) -> bytes:
    """The boundary that a request's header names; ProtocolError 4400 where it names none."""
    found = BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or not found:
        reason = f"content-type {content_type[:80]!r} is not possible; use multipart/form-data"
        raise ProtocolError(reason, codes.BAD_PARAMETER)
    return (found.group(1) or found.group(2)).encode()


def read_form(body: bytes, boundary: bytes) -> Form:
    """The form in `body`; ProtocolError 1007 for one that is not whole."""
    mark = b"--" + boundary
    pieces = (b"\r\n" + body).split(b"\r\n" + mark, MOST_PARTS + 1)
    if len(pieces) > MOST_PARTS:
        raise ProtocolError(f"a form may have {MOST_PARTS} parts", codes.BAD_DATA)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ProtocolError("the form is not whole: its last boundary is missing", codes.BAD_DATA)
    form = Form({}, {})
    for piece in pieces[1:-1]:
        head, found, content = piece.partition(b"\r\n\r\n")
        if not found or len(head) > HEADER_BYTES:
            raise ProtocolError("a part of the form has no headers, or no end of them", codes.BAD_DATA)
        told = head.decode(errors="replace")
        name = NAME.search(told)
        if name is None:
            raise ProtocolError("a part of the form has no name", codes.BAD_DATA)
        if "filename" in told.lower():
            form.files[name.group(1)] = content
        else:
            form.fields.setdefault(name.group(1), []).append(content.decode(errors="replace"))
    return form
