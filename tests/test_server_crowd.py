"""Connections that ask for nothing, ask wrongly or never get to the point: counted by address, answered, and ended."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
from serving import PATIENCE_S, get, health, running, talk

from streamst.pipeline import Pipeline
from streamst.server import accepting, transport
from streamst.server.operator.crowd import Crowd, share_of
from streamst.tls import self_signed

HANDSHAKE = (
    "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def dial(address: str, source: str = "127.0.0.1") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port_of(address)), PATIENCE_S, (source, 0))
    made.settimeout(PATIENCE_S)
    return made


def drained(client: socket.socket) -> bytes:
    """Everything that still comes; a reset connection is closed, too."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65_536):
            heard += part
    return heard


def test_a_crowd_counts_by_address_and_forgets_who_left() -> None:
    crowd = Crowd(most=5, of_address=2)
    assert [crowd.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [crowd.enter("192.0.2.2") for _ in range(2)] == [True, True]
    assert crowd.enter("192.0.2.3")
    assert not crowd.enter("192.0.2.4")  # all places are taken
    crowd.leave("192.0.2.1")
    assert len(crowd) == 4
    assert crowd.enter("192.0.2.1")


def test_a_network_of_ipv6_is_one_address_and_a_trusted_proxy_none() -> None:
    assert share_of("2001:db8::1") == share_of("2001:db8::ffff:1") != share_of("2001:db8:0:1::1")
    assert share_of("::ffff:192.0.2.1") != share_of("::ffff:192.0.2.2")
    crowd = Crowd(most=9, of_address=1, proxies=("192.0.2.0/24",))
    assert all(crowd.enter("192.0.2.1") for _ in range(5))
    assert [crowd.enter("198.51.100.1") for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("".join(f"X-{number}: 1\r\n" for number in range(200)), b"HTTP/1.1 431"),
        (f"X-Long: {'x' * 9000}\r\n", b"HTTP/1.1 431"),
        ("X-Odd: a\x01b\r\n", b"HTTP/1.1 400"),
        ("X-Odd: a\x7fb\r\n", b"HTTP/1.1 400"),
        (f"{'X' * 9000}: long\r\n", b"HTTP/1.1 431"),
    ],
    ids=["too many headers", "a header too long", "a control character", "a delete character", "a name too long"],
)
def test_an_upgrade_that_the_parser_refuses_is_answered_and_closed(
    tiny_pipeline: Pipeline, headers: str, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "REQUEST_S", 10 * PATIENCE_S)  # it is not this that ends it
    with running(tiny_pipeline) as address:
        with dial(address) as client:
            client.sendall(f"{HANDSHAKE}{headers}\r\n".encode("latin-1"))
            assert drained(client).startswith(status)
        assert health(address)["sessions"] == 0


def test_refused_upgrades_hold_no_connection(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, address_connections=3) as address:
        for _ in range(10):
            with dial(address) as client:
                client.sendall(f"{HANDSHAKE}X-Long: {'x' * 9000}\r\n\r\n".encode())
                assert drained(client).startswith(b"HTTP/1.1 431")
        assert get(f"{address}/healthz")[0] == 200


def test_what_one_address_holds_leaves_room_for_another(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "REQUEST_S", 10 * PATIENCE_S)
    with running(tiny_pipeline, address_connections=4) as address, contextlib.ExitStack() as held:
        idle = [held.enter_context(dial(address, "127.0.0.2")) for _ in range(6)]
        assert drained(idle[-1]) == b""  # turned away at once, not after its time to ask for something
        assert get(f"{address}/healthz")[0] == 200
        for one in idle:
            one.close()
        with dial(address, "127.0.0.2") as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert drained(client).startswith(b"HTTP/1.1 200")


def test_with_tls_silent_connections_are_counted_at_once_and_ended_soon(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "TLS_S", 0.5)
    monkeypatch.setattr(transport, "REQUEST_S", 10 * PATIENCE_S)
    with self_signed("127.0.0.1") as (certificate, key):
        trusting = ssl.create_default_context(cafile=certificate)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
        )
        with (
            running(tiny_pipeline, address_connections=4, tls_cert=certificate, tls_key=key) as address,
            contextlib.ExitStack() as held,
        ):
            idle = [held.enter_context(dial(address, "127.0.0.2")) for _ in range(6)]
            assert drained(idle[-1]) == b""
            with opener.open(f"{address}/healthz", timeout=PATIENCE_S) as response:
                assert json.loads(response.read())["status"] == "ok"
            assert drained(idle[0]) == b""
            with dial(address, "127.0.0.2") as plain:  # no TLS at all
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
                drained(plain)
            with opener.open(f"{address}/healthz", timeout=PATIENCE_S) as response:
                assert json.loads(response.read())["sessions"] == 0


def test_a_talk_goes_on_while_another_address_fills_its_share(tiny_pipeline: Pipeline) -> None:
    import asyncio

    with running(tiny_pipeline, address_connections=4) as address, contextlib.ExitStack() as held:
        for _ in range(6):
            held.enter_context(dial(address, "127.0.0.2"))
        said, code = asyncio.run(talk(address, '{"type":"end"}'))
        assert code == 1000
        assert said[-1]["type"] == "closed"


def test_the_share_is_in_the_sample_configuration() -> None:
    sample = (Path(__file__).parents[1] / "deploy" / "streamst.toml").read_text("utf-8")
    assert "address_connections" in sample
