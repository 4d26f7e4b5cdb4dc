"""`streamst mcp`: tools for assistants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamst.errors import UnavailableError

from . import options as opt

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline


def mcp(
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    recogniser: opt.Recogniser = None,
    writer: opt.Writer = None,
    voice: opt.Voice = None,
) -> None:
    """Serve tools over standard input and output to an assistant that speaks MCP: translate_file, say, models."""
    try:
        from streamst.integrations.mcp import make_server
    except ModuleNotFoundError as error:
        raise UnavailableError("MCP is not installed: pip install 'streamst[mcp]'") from error

    def loaded() -> Pipeline:
        from streamst.pipeline import load

        return load(model, device, precision, recogniser, writer, voice)

    make_server(loaded).run("stdio")
