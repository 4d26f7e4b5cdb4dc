"""The HTTP routes, in-process."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

import streamst
from streamst.errors import InputError, UnavailableError
from streamst.pipeline import Pipeline
from streamst.server.app import create_app, prepare
from streamst.server.operator.options import ServerOptions


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline: Pipeline) -> Pipeline:
    return tiny_pipeline


class Client:
    """Asks an application in this process."""

    def __init__(self, pipeline: Pipeline) -> None:
        options = ServerOptions(max_sessions=2, policy="wait-k", latency="low", max_text_bytes=1000)
        self.app = create_app(pipeline, options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, options))

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, **options)


@pytest.fixture
def client(pipeline: Pipeline) -> Client:
    return Client(pipeline)


def test_health_tells_how_full_the_server_is(client: Client) -> None:
    expected = {"status": "ok", "version": streamst.__version__, "sessions": 0, "max_sessions": 2}
    assert client.get("/healthz").json() == expected


def test_info_tells_what_a_client_may_choose_and_what_happens_if_it_does_not(client: Client) -> None:
    info = client.get("/v1/info").json()
    assert (info["source"], info["targets"]) == ("en", ["de"])
    assert {"wait-k", "local-agreement"} <= set(info["policies"])
    assert info["latencies"] == ["minimal", "low", "medium", "high", "xhigh"]
    assert info["codecs"] == ["pcm16", "opus", "neural"]
    assert info["defaults"] == {"target": "de", "policy": "wait-k", "latency": "low"}
    assert info["limits"]["max_text_bytes"] == 1000
    assert info["sample_rate_hz"] == 16_000


def test_metrics_are_in_the_text_format(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "\nstreamst_sessions 0.0\n" in answer.text
    assert "process_resident_memory_bytes" in answer.text


def test_the_page_comes_with_headers_that_keep_it_to_itself(client: Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "<html" in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["permissions-policy"].startswith("microphone=(self)")
    script = client.get("/app.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "no-cache"


def test_what_is_not_there_is_not_found(client: Client) -> None:
    assert client.get("/nothing.js").status_code == 404
    assert client.post("/healthz").status_code == 405


def test_a_place_can_be_reserved_until_none_is_left(client: Client) -> None:
    first = client.post("/v1/sessions", json={"target": "de"})
    assert first.status_code == 201
    assert first.json()["url"] == "/v1/stream"
    second = client.post("/v1/sessions")
    assert second.status_code == 201
    assert first.json()["token"] != second.json()["token"]
    full = client.post("/v1/sessions")
    assert full.status_code == 503
    assert int(full.headers["retry-after"]) == 60  # how long sessions last, before any has ended
    assert full.json() == {
        "code": 1013,
        "name": "overloaded",
        "message": "all 2 places are taken; try again in about 60 s",
        "retryable": True,
        "retry_after_ms": 60_000.0,
        "queue_position": 1,
        "eta_s": 60.0,
    }


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"codec":"mp3"}', 400, "pcm16, opus, neural"),
        (b'{"sauce":"en"}', 400, "unknown key 'sauce'"),
        (b"[]", 400, "must be an object, not list"),
        (b"\xff", 400, "must be JSON"),
        (b"{", 400, "must be JSON"),
        (b" " * 1001, 413, "may have 1000 bytes"),
    ],
)
def test_a_reservation_that_cannot_be_read_is_told_why(client: Client, body: bytes, status: int, message: str) -> None:
    answer = client.post("/v1/sessions", content=body)
    assert answer.status_code == status
    assert message in answer.json()["message"]


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:9000"])
def test_a_page_from_elsewhere_reserves_nothing(client: Client, origin: str) -> None:
    answer = client.post("/v1/sessions", headers={"origin": origin})
    assert answer.status_code == 403
    assert answer.json()["code"] == 1008
    assert client.post("/v1/sessions", headers={"origin": "http://127.0.0.1:8000"}).status_code == 201


def test_a_taken_port_a_missing_certificate_and_an_unknown_default_are_said_plainly(pipeline: Pipeline) -> None:
    _, listener, address = prepare(pipeline, ServerOptions(port=0))
    with listener:
        port = int(address.rpartition(":")[2])
        assert port > 0
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1 port {port}.*choose another port"):
            prepare(pipeline, ServerOptions(port=port))
    with pytest.raises(UnavailableError, match=r"none\.pem"):
        prepare(pipeline, ServerOptions(port=0, tls_cert="none.pem", tls_key="none.key"))
    with pytest.raises(InputError, match="'guess'; allowed"):
        prepare(pipeline, ServerOptions(port=0, policy="guess"))
