"""`streamst serve`: the page and the websockets."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as opt
from . import serve_options as wanted
from .view import out, shown

if TYPE_CHECKING:
    from streamst.server.operator.config_file import ServeConfig


def serve(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with these settings and more; flags go before it.")
    ] = None,
    host: wanted.Host = "127.0.0.1",
    port: wanted.Port = 8000,
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
    max_sessions: wanted.MaxSessions = 64,
    workers: wanted.Workers = 1,
    store: wanted.Store = None,
    node_url: wanted.NodeUrl = None,
    ray: wanted.Ray = False,
    replicas: wanted.Replicas = "2",
    origin: wanted.Origin = None,
    tls_cert: wanted.TlsCert = None,
    tls_key: wanted.TlsKey = None,
    tls_self_signed: wanted.TlsSelfSigned = False,
    log_format: wanted.LogFormat = "text",
    verbose: wanted.Verbose = False,
) -> None:
    """Serve the page and the websocket: open it in a browser and speak."""
    from streamst.server.operator.config_file import read_config, read_given

    flags = {
        "host": host, "port": port, "model": model, "device": device, "precision": precision,
        "recogniser": recogniser, "writer": writer, "voice": voice, "source": source, "target": target,
        "policy": policy, "latency": latency, "max_sessions": max_sessions, "workers": workers,
        "allowed_origins": tuple(origin or ()), "tls_cert": tls_cert, "tls_key": tls_key,
        "tls_self_signed": tls_self_signed, "store": store, "node_url": node_url,
        "log_format": log_format, "verbose": verbose,
    }  # fmt: skip
    parameters = {"allowed_origins": "origin"}
    given = {name: value for name, value in flags.items() if _was_given(context, parameters.get(name, name))}
    options = read_config(config, given)
    if ray:
        _serve_with_ray(options, read_given(config, given), replicas)
    else:
        _serve(options)


def _serve_with_ray(options: ServeConfig, given: dict[str, Any], replicas: str) -> None:
    """Until it is stopped. given: what was set at all; replicas: "2" or "2:8"."""
    from streamst.integrations.ray_serve import read_replicas, run
    from streamst.server.listening import bind

    bind(options).close()  # a taken port is told before anything is started
    with ExitStack() as stack:
        if options.tls_self_signed:
            from streamst.tls import self_signed

            certificate, key = stack.enter_context(self_signed(options.host))
            options = replace(options, tls_cert=certificate, tls_key=key)
            given = given | {"tls_cert": certificate, "tls_key": key}
        run(options, given | read_replicas(replicas), lambda address: _announce("English", address))


def _serve(options: ServeConfig) -> None:
    """Until it is stopped."""
    from streamst.server.listening import bind
    from streamst.server.operator.logs import configure_logging

    configure_logging(options.log_format, options.verbose)
    with ExitStack() as stack:
        bound = stack.enter_context(bind(options))  # a taken port is told before the model is loaded
        if options.tls_self_signed:
            from streamst.tls import self_signed

            certificate, key = stack.enter_context(self_signed(options.host))
            options = replace(options, tls_cert=certificate, tls_key=key)
        with shown("Loading the model"):
            from streamst.languages.catalog import language_name
            from streamst.server.app import serve as run_server
            from streamst.server.loading import load_for

            loader = partial(load_for, options)
            pipeline = loader()
        announce = partial(_announce, language_name(pipeline.source))
        run_server(pipeline, options, announce=announce, loader=loader, bound=bound)


def _was_given(context: typer.Context, parameter: str) -> bool:
    """Whether a flag was written, and its value is no default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _announce(language: str, address: str) -> None:
    from streamst.server.listening import reachable

    out.print(f"StreamST listens on {address}", soft_wrap=True)
    elsewhere = reachable(address)
    if elsewhere and elsewhere != [address]:
        out.print(f"Other devices reach it at {' or '.join(elsewhere)}", soft_wrap=True)
    out.print(f"Open it in a browser and speak {language}. Ctrl-C stops.", style="dim", soft_wrap=True)
