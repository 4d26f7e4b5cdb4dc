"""What strangers can make a server write, read or believe: little, on a real port."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from typing import Any

import pytest
from serving import get, running
from websockets.asyncio.client import connect

from streamst.errors import ConfigError, ProtocolError
from streamst.pipeline import Pipeline
from streamst.server.foreign.client_secrets import Secret, Signer
from streamst.server.operator.limits import host_allowed
from streamst.server.operator.logs import Bounded
from streamst.server.operator.options import ServerOptions

KEY = "a key of at least sixteen characters"
SECRETS = "/v1/realtime/translations/client_secrets"
ASKED = json.dumps({"session": {"model": "m"}}).encode()


def ask(address: str, path: str, **headers: str) -> tuple[int, bytes]:
    """A GET with headers of one's own, Host included."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.putrequest("GET", path, skip_host="host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize("path", ["/metrics", "/v1/info", "/healthz", "/readyz"])
def test_what_a_server_tells_of_itself_it_tells_under_its_own_names_only(tiny_pipeline: Pipeline, path: str) -> None:
    with running(tiny_pipeline, allowed_origins=("https://talks.example.org",)) as address:
        port = address.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "talks.example.org"):
            assert ask(address, path, host=host)[0] == 200
        for host in ("evil.example.com", f"evil.example.com:{port}", "127.0.0.1.evil.example.com", "a b", ""):
            assert ask(address, path, host=host)[0] == 403


def test_a_host_is_no_matter_where_every_origin_is_allowed() -> None:
    assert host_allowed("anything.example.com", ServerOptions(allowed_origins=("*",)))
    assert not host_allowed("anything.example.com", ServerOptions())


def test_where_keys_are_needed_metrics_need_one_and_health_does_not(
    tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMST_API_KEYS", f"talks:{KEY}")
    with running(tiny_pipeline) as address:
        assert ask(address, "/metrics")[0] == 401
        assert ask(address, "/metrics", authorization="Bearer a wrong key of some length")[0] == 401
        status, text = ask(address, "/metrics", authorization=f"Bearer {KEY}")
        assert status == 200
        assert b"streamst_sessions " in text
        assert ask(address, "/healthz")[0] == 200


def test_nobody_can_use_up_the_client_secrets(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, address_rate=0) as address:
        values = {json.loads(get(address + SECRETS, ASKED)[2])["value"] for _ in range(1100)}
    assert len(values) == 1100


def test_the_names_that_a_secret_carries_are_bounded(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline) as address:
        status, _, body = get(address + SECRETS, json.dumps({"session": {"model": "m" * 60_000}}).encode())
        assert status == 400
        assert b"60000 characters; allowed: 200" in body
        asked = {"session": {"model": "m", "audio": {"input": {"transcription": {"model": "m" * 201}}}}}
        assert get(address + SECRETS, json.dumps(asked).encode())[0] == 400


def test_a_secret_is_good_until_it_expires_and_only_as_it_was_signed() -> None:
    secret = Secret("s", "de", None, "model", 1000, "talks")
    signer = Signer()
    shown = signer.sign(secret)
    assert signer.read(shown, 999.0) == secret
    assert KEY not in shown
    body, _, seal = shown.partition(".")
    for wrong in (
        shown[:-1],
        shown + "0",
        body,
        f"{body}.",
        f"{body[:-2]}AA.{seal}",
        "ek_",
        "ek_.",
        "ek_\u00e9.\ud800",
    ):
        with pytest.raises(ProtocolError) as caught:
            signer.read(wrong, 0.0)
        assert caught.value.code == 4401
    with pytest.raises(ProtocolError):
        signer.read(shown, 1000.0)
    with pytest.raises(ProtocolError):
        Signer().read(shown, 0.0)


def test_a_page_from_elsewhere_writes_a_few_short_lines_into_the_log(
    tiny_pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tiny_pipeline) as address:
        for _ in range(100):
            assert get(f"{address}/v1/sessions", b"{}", origin=f"https://{'x' * 8000}.example")[0] == 403
    lines = [record.getMessage() for record in caplog.records if "origin" in record.getMessage()]
    assert 0 < len(lines) <= 20
    assert max(map(len, lines)) < 400


def test_lines_of_one_kind_are_bounded_and_the_rest_is_counted() -> None:
    now = [0.0]
    bounded = Bounded(3, lambda: now[0])

    def line(number: int, level: int = logging.WARNING, text: str = "refused %d") -> logging.LogRecord:
        return logging.LogRecord("streamst.server", level, "", 0, text, (number,), None)

    assert [bounded.filter(line(number)) for number in range(5)] == [True, True, True, False, False]
    assert bounded.filter(line(0, text="another %d"))
    now[0] = 60.0
    last = line(9)
    assert bounded.filter(last)
    assert last.getMessage() == "refused 9 (2 lines like this were left out)"


def forwarded(address: str, count: int) -> list[int]:
    """Statuses of reservations that each say that they come for somebody else."""
    found = []
    for number in range(count):
        told: dict[str, Any] = {"x-forwarded-for": f"198.51.100.{number}"}
        found.append(get(f"{address}/v1/sessions", b"{}", **told)[0])
    return found


def test_who_a_stranger_says_that_it_speaks_for_is_not_believed(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, address_sessions=2) as address:
        assert forwarded(address, 4) == [201, 201, 429, 429]


def test_a_trusted_proxy_is_believed(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, address_sessions=2, trusted_proxies=("127.0.0.0/8",)) as address:
        assert forwarded(address, 4) == [201] * 4


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trusted_proxies: 'proxy\.local' is no address and no network"):
        ServerOptions(trusted_proxies=("proxy.local",))


def test_a_secret_opens_a_session_without_a_key(tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMST_API_KEYS", f"talks:{KEY}")

    async def first(address: str, shown: str) -> dict[str, Any]:
        url = address.replace("http", "ws", 1) + "/v1/realtime/translations?model=m"
        async with connect(url, additional_headers={"authorization": f"Bearer {shown}"}, proxy=None) as socket:
            return json.loads(await socket.recv())

    with running(tiny_pipeline) as address:
        answer = get(address + SECRETS, ASKED, authorization=f"Bearer {KEY}")
        assert answer[0] == 200
        told = asyncio.run(first(address, json.loads(answer[2])["value"]))
    assert told["type"] == "session.created"
