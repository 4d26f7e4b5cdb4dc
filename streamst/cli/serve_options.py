"""Options of `streamst serve` alone, as `Annotated` types."""

from __future__ import annotations

from typing import Annotated

import typer

_TLS, _LOGS, _NODES = "TLS", "Logs", "Nodes"

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every network.")]
Port = Annotated[int, typer.Option(help="0 takes a free one and prints it.")]
MaxSessions = Annotated[int, typer.Option(help="Speakers at once, as far as the machine carries them.")]
Workers = Annotated[int, typer.Option(help="Processes that translate; more than one only helps many speakers.")]
Store = Annotated[
    str | None,
    typer.Option(
        help="valkey://HOST:PORT/DB, of several nodes: what one leaves off, another goes on with.",
        rich_help_panel=_NODES,
    ),
]
NodeUrl = Annotated[
    str | None,
    typer.Option("--node-url", help="ws://HOST:PORT under which clients reach this node.", rich_help_panel=_NODES),
]
Ray = Annotated[
    bool, typer.Option("--ray", help="Replicas behind Ray Serve, on RAY_ADDRESS or here.", rich_help_panel=_NODES)
]
Replicas = Annotated[
    str, typer.Option(help="Of --ray: how many, or from how many to how many, as 2:8.", rich_help_panel=_NODES)
]
Origin = Annotated[
    list[str] | None, typer.Option(help="A web origin whose pages may connect, beside our own. May be repeated.")
]
TlsCert = Annotated[str | None, typer.Option(help="Certificate, a PEM file.", rich_help_panel=_TLS)]
TlsKey = Annotated[str | None, typer.Option(help="Its key, a PEM file.", rich_help_panel=_TLS)]
TlsSelfSigned = Annotated[
    bool,
    typer.Option(
        "--tls-self-signed", help="Make a certificate: other devices' microphones need https.", rich_help_panel=_TLS
    ),
]
LogFormat = Annotated[
    str, typer.Option("--log-format", help="text, or json: one object a line.", rich_help_panel=_LOGS)
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every session.", rich_help_panel=_LOGS)]
