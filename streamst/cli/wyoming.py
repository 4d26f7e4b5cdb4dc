"""`streamst wyoming`: a recogniser and a voice for Home Assistant."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

import typer

from streamst.errors import UnavailableError

from . import options as opt
from .view import out, shown


def wyoming(
    uri: Annotated[
        str, typer.Option(help="Where to listen: tcp://HOST:PORT, unix://PATH or stdio://.")
    ] = "tcp://127.0.0.1:10300",
    clients: Annotated[int, typer.Option(help="Connections at once.", min=1)] = 32,
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    recogniser: opt.Recogniser = None,
    writer: opt.Writer = None,
    voice: opt.Voice = None,
    source: opt.From = None,
    target: opt.To = None,
    policy: opt.Policy = None,
    latency: opt.Latency = None,
) -> None:
    """Serve the Wyoming protocol, for Home Assistant: speech to text in both languages, text to speech."""
    try:
        from streamst.integrations.wyoming import House, open_server, serve
        from streamst.integrations.wyoming_parts import Limits
    except ModuleNotFoundError as error:
        raise UnavailableError("Wyoming is not installed: pip install 'streamst[wyoming]'") from error
    open_server(uri)
    with shown("Loading the model"):
        from streamst.pipeline import load

        pipeline = load(model, device, precision, recogniser, writer, voice, source, target)
    house = House(pipeline, policy, latency, Limits(clients=clients))
    if not uri.startswith("stdio:"):
        out.print(f"Wyoming at {uri}", soft_wrap=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(house, uri))
    finally:
        house.close()
