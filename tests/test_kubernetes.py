"""The manifests in deploy/kubernetes say what Kubernetes' own schemas allow, and what the server keeps."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import ValidationError

from streamst.server.operator.config_file import ServeConfig

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"
VERSION = "1.30"
MANIFESTS = [
    pytest.param(manifest, id=f"{manifest['kind']} {manifest['metadata']['name']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text("utf-8"))
]


def found(kind: str, name: str) -> dict[str, Any]:
    (one,) = [p.values[0] for p in MANIFESTS if p.id == f"{kind} {name}"]
    assert isinstance(one, dict)
    return one


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_is_what_the_schema_of_its_kind_allows(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_schemas_know_a_mistake() -> None:
    wrong = found("StatefulSet", "streamst") | {"spec": {"replicas": "two"}}
    with pytest.raises(ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_the_nodes_settings_are_the_servers_and_it_has_time_to_stop() -> None:
    settings = tomllib.loads(found("ConfigMap", "streamst")["data"]["streamst.toml"])
    assert set(settings) <= {field.name for field in fields(ServeConfig)}
    config = ServeConfig(**settings)
    pod = found("StatefulSet", "streamst")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 3 + config.drain_s + 35
    assert config.store is not None
    store = found("Service", config.store.removeprefix("valkey://").partition(":")[0])
    assert store["spec"]["ports"][0]["port"] == 6379
    scaled = found("HorizontalPodAutoscaler", "streamst")["spec"]["metrics"][0]["pods"]
    assert scaled["metric"]["name"] == "streamst_sessions"
    assert float(scaled["target"]["averageValue"]) < config.max_sessions
