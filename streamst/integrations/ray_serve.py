"""StreamST behind Ray Serve: each replica is a node around the application that `streamst serve` serves.

`streamst serve --ray` starts it; `deploy/ray.yaml` is for `serve deploy`, and names `application`. Ray's router sends a
client anywhere and cuts websockets whenever a replica ends, without telling it. So nothing depends on either: what one
replica leaves off any other goes on with, through the store that they share.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import TYPE_CHECKING, Any

from streamst.config import from_dict
from streamst.doctor import hears_in
from streamst.errors import ConfigError, UnavailableError
from streamst.server.operator.config_file import ServeConfig

from .ray_scaling import places_for, policy_path

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.applications import Starlette
SETTLE_S = 2.0  # that a replica has beyond `drain_s`, to write down what it heard last
MOST_REQUESTS = 10_000  # of a replica, listeners of rooms among them: it refuses speakers itself, in words
LOOK_BACK_S = 20.0  # that Ray's autoscaler looks at
UP_S, DOWN_S = 10.0, 600.0  # a load has to last so long; nobody gains by a replica that is gone a minute earlier
HEALTH_S, HEALTH_TIMEOUT_S = 5.0, 15.0  # a replica that hangs is replaced within three times of these


@dataclass(frozen=True)
class Cluster:
    """What Ray should keep running, beside `ServeConfig`: what one replica is."""

    replicas: int = 2  # at least
    max_replicas: int = 0  # at most; 0: as many as `replicas`, always
    cpus: float = 1.0  # of a replica, in Ray's books and for its threads
    gpus: float = 0.0  # 0.25: four replicas share a GPU

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise ConfigError(f"replicas is {self.replicas}; it must be at least 1")
        if self.max_replicas and self.max_replicas < self.replicas:
            raise ConfigError(f"max_replicas is {self.max_replicas}; it must be at least replicas ({self.replicas})")
        if self.cpus <= 0 or self.gpus < 0:
            raise ConfigError(f"cpus is {self.cpus}, gpus is {self.gpus}; the first must be above 0, the other from 0")


class Replica:
    """One node. Its places are those of `max_sessions` where that was given, else as many as it measures."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """settings: of `ServeConfig`."""
        from streamst.server.app import create_app
        from streamst.server.loading import load_for
        from streamst.server.operator.logs import configure_logging

        options = from_dict(ServeConfig, dict(settings), "ray")
        configure_logging(options.log_format, options.verbose)
        pipeline = load_for(options)
        if "max_sessions" not in settings:
            places = places_for(hears_in(pipeline), float(os.environ.get("OMP_NUM_THREADS", "1")))
            options = from_dict(ServeConfig, {**settings, "max_sessions": places}, "ray")
        self._app = create_app(pipeline, options)
        self.service = self._app.state.service
        self.service.warm_up()

    def __serve_build_asgi_app__(self) -> Starlette:
        return self._app

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `ray_scaling.by_places` looks at: what `/readyz` and `/metrics` tell."""
        service = self.service
        lag_s = service.metrics.lag_s.recent(0.95)
        taken = len(service.sessions) if service.unready is None else service.options.max_sessions
        return {
            "taken": float(taken), "places": float(service.options.max_sessions), "lag_s": lag_s or 0.0,
        }  # fmt: skip

    async def check_health(self) -> None:
        """Ask what `/readyz` asks: who is full or busy is well, and only no answer makes Ray replace a replica."""
        _ = self.service.unready


def read_replicas(text: str) -> dict[str, int]:
    """Fields of `Cluster` from "2" or "2:8"; ConfigError for anything else."""
    least, _, most = text.partition(":")
    if not least.isdecimal() or (":" in text and not most.isdecimal()):
        raise ConfigError(f"replicas are {text!r}; allowed: a number, or two as 2:8")
    return {"replicas": int(least), "max_replicas": int(most or 0)}


def application(arguments: Mapping[str, Any]) -> Application:
    """The application for `serve deploy` and `serve.run`: settings of `Cluster` and of `ServeConfig` in one.

    ConfigError for what neither knows, UnavailableError without Ray.
    """
    serve = _ray_serve()
    ours = {one.name for one in fields(Cluster)}
    cluster = from_dict(Cluster, {name: value for name, value in arguments.items() if name in ours}, "ray")
    settings = {name: value for name, value in arguments.items() if name not in ours}
    config = from_dict(ServeConfig, settings, "ray")
    most = max(cluster.replicas, cluster.max_replicas)
    deployment = serve.deployment(
        serve.ingress()(Replica),  # type: ignore[arg-type]
        name="streamst",
        max_ongoing_requests=MOST_REQUESTS,
        max_queued_requests=-1,
        ray_actor_options={"num_cpus": cluster.cpus, "num_gpus": cluster.gpus},
        graceful_shutdown_timeout_s=config.drain_s + SETTLE_S,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=HEALTH_S,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        autoscaling_config={
            "min_replicas": cluster.replicas, "max_replicas": most, "initial_replicas": cluster.replicas,
            "look_back_period_s": LOOK_BACK_S, "upscale_delay_s": UP_S, "downscale_delay_s": DOWN_S,
            "policy": {"policy_function": policy_path()},
        } if most > cluster.replicas else None,
        num_replicas=None if most > cluster.replicas else cluster.replicas,
    )  # fmt: skip
    return deployment.bind(settings)


def run(config: ServeConfig, arguments: Mapping[str, Any], announce: Callable[[str], None]) -> None:
    """Serve on the cluster at RAY_ADDRESS, or on one of this machine's own, until SIGTERM or SIGINT; errors as in
    `application`. announce: told the address once it answers."""
    if not config.port:
        raise ConfigError("port is 0; Ray Serve needs a port that is known before: 1 to 65535")
    built, serve = application(arguments), _ray_serve()
    import ray

    there = "RAY_ADDRESS" in os.environ
    ray.init(include_dashboard=None if there else False, log_to_driver=config.verbose)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        serve.start(http_options=http_options(config))
        serve.run(built, name="streamst")
        announce(f"{config.scheme}://{config.host}:{config.port}")
        stopped.wait()
    finally:
        serve.shutdown()
        ray.shutdown()


def http_options(config: ServeConfig) -> dict[str, Any]:
    """Of Ray's proxies, which stand in front of the replicas."""
    return {
        "host": config.host, "port": config.port, "ssl_certfile": config.tls_cert, "ssl_keyfile": config.tls_key,
        "request_timeout_s": None, "keep_alive_timeout_s": 75,
    }  # fmt: skip


def _ray_serve() -> ModuleType:
    try:
        from ray import serve
    except ImportError as error:
        raise UnavailableError("Ray Serve is not installed: pip install 'streamst[ray]'") from error
    return serve
