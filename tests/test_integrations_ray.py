"""Ray Serve: two replicas, one talk, one kill; how many replicas there should be."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import signal
import tempfile
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from raying import replicas
from serving import CALM, heard_of, pieces, words_of
from stores import store_server

from streamst.audio import from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.errors import ConfigError
from streamst.events import Speech, Words
from streamst.integrations.ray_scaling import by_places, places_for, wanted
from streamst.integrations.ray_serve import Cluster, read_replicas
from streamst.pipeline import Pipeline
from streamst.server.operator.config_file import ServeConfig
from streamst.server.store.valkey import open_store
from streamst.server.wire.seam import Settings, Welcome

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
DEPLOY = Path(__file__).parents[1] / "deploy"
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: pip install '.[ray]'")


async def holder(store: str, session_id: str) -> int:
    """The process that has a session."""
    shared = open_store(store)
    entry = await shared.read(session_id)
    await shared.close()
    assert entry is not None
    return int(entry.owner.split(".")[-2])


@needs_ray
def test_the_replica_that_has_the_talk_is_killed_and_no_word_is_lost_or_doubled(
    tiny_model: Path, tiny_pipeline: Pipeline, tmp_path: Path
) -> None:
    speech = from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 7]))
    session = tiny_pipeline.session(latency="medium")
    alone = [*session.push(speech), *session.finish()]
    said: list[Any] = []
    killed: list[int] = []

    async def talk(url: str, store: str) -> None:
        session_id = ""
        async for event in stream(url, pieces(speech), Settings(latency="medium"), realtime=True):
            if isinstance(event, Welcome):
                session_id = event.session_id
            said.append(event)
            if isinstance(event, Words | Speech) and len(said) >= 12 and not killed:
                killed.append(await holder(store, session_id))
                os.kill(killed[0], signal.SIGKILL)
            if isinstance(event, Welcome) and killed:
                assert await holder(store, session_id) != killed[0]

    with (
        store_server(tmp_path) as store,
        tempfile.TemporaryDirectory(prefix="ray") as folder,
        replicas(
            Path(folder), model=str(tiny_model), store=store, cpus=0.5, snapshot_s=0.5, max_sessions=8, **CALM
        ) as url,
    ):
        asyncio.run(talk(url, store))
    assert len(killed) == 1
    assert sum(isinstance(event, Welcome) for event in said) >= 2
    assert [words for _, _, words in words_of(said)] == [words for _, _, words in words_of(alone)]
    assert len(heard_of(said)) == len(heard_of(alone))


def test_replicas_follow_the_places_that_are_taken_and_one_more_comes_where_words_are_late() -> None:
    assert wanted([0, 0], [8, 8], [0, 0]) == 1
    assert wanted([6, 6], [8, 8], [0.4, 0.4]) == 2
    assert wanted([7, 6], [8, 8], [0.4, 0.4]) == 3
    assert wanted([1, 1], [8, 8], [2.5, 2.1]) == 3
    assert wanted([1, 1], [8, 8], [2.5, 1.1]) == 1


def test_places_are_what_a_core_hears_in_real_time_with_something_to_spare() -> None:
    assert places_for(0.05, 1) == 14
    assert places_for(0.05, 2) == 28
    assert places_for(3.0, 1) == 1


def test_the_autoscaler_asks_for_no_more_and_no_less_than_it_may() -> None:
    told = {"taken": {"a": 8.0, "b": 8.0}, "places": {"a": 8.0, "b": 8.0}, "lag_s": {"a": 0.1, "b": 0.1}}
    bounds = {"capacity_adjusted_min_replicas": 1, "capacity_adjusted_max_replicas": 9}
    context = SimpleNamespace(aggregated_metrics=told, target_num_replicas=2, **bounds)
    assert by_places(context) == (3, {})
    context.capacity_adjusted_max_replicas = 2
    assert by_places(context) == (2, {})
    context.aggregated_metrics = {}  # nobody has told anything yet
    assert by_places(context) == (2, {})


@pytest.mark.parametrize("wrong", [{"replicas": 0}, {"replicas": 3, "max_replicas": 2}, {"cpus": 0.0}, {"gpus": -1.0}])
def test_an_impossible_cluster_is_an_error_that_names_the_value(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=str(next(reversed(wrong.values())))):
        Cluster(**wrong)  # type: ignore[arg-type]


def test_replicas_are_a_number_or_two() -> None:
    assert read_replicas("2") == {"replicas": 2, "max_replicas": 0}
    assert read_replicas("2:8") == {"replicas": 2, "max_replicas": 8}
    for wrong in ("", "two", "2:", ":8", "-1"):
        with pytest.raises(ConfigError, match="replicas"):
            read_replicas(wrong)


def test_what_is_deployed_is_what_the_server_knows() -> None:
    written = yaml.safe_load((DEPLOY / "ray.yaml").read_text("utf-8"))
    known = {field.name for kind in (Cluster, ServeConfig) for field in fields(kind)}
    routes = [one["route_prefix"] for one in written["applications"]]
    assert len(set(routes)) == len(routes) == 2
    for one in written["applications"]:
        assert one["import_path"] == "streamst.integrations.ray_serve:application"
        assert set(one["args"]) <= known
        assert one["args"]["store"] is not None


@needs_ray
@pytest.mark.filterwarnings("ignore:Using extra keyword arguments:DeprecationWarning")  # of Ray's own schema
def test_ray_reads_what_is_deployed() -> None:
    schema = importlib.import_module("ray.serve.schema")
    written = yaml.safe_load((DEPLOY / "ray.yaml").read_text("utf-8"))
    assert len(schema.ServeDeploySchema.model_validate(written).applications) == 2


def test_what_is_said_on_the_command_line_is_written_over_the_file() -> None:
    spec = importlib.util.spec_from_file_location("deploy_ray", DEPLOY / "ray.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plain = module.read([])
    changed = module.read(["cpus=0.5", "store=valkey://127.0.0.1:1/0", "replicas=1", "--port", "81"])
    assert plain["applications"][0]["args"]["cpus"] == 1.0
    assert plain["http_options"]["port"] == 8000
    assert changed["http_options"]["port"] == 81
    for one in changed["applications"]:
        assert (one["args"]["cpus"], one["args"]["replicas"]) == (0.5, 1)
        assert one["args"]["store"] == "valkey://127.0.0.1:1/0"
        assert one["args"]["model"] == "en-de"
    with pytest.raises(SystemExit):
        module.read(["one.yaml", "other.yaml"])
