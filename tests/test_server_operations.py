"""What an operator sets and sees: the configuration file, logs, and the files for systems that run the service."""

from __future__ import annotations

import asyncio
import configparser
import dataclasses
import io
import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
import typer
from websockets.asyncio.client import connect

from streamst.audio import read_audio, to_pcm16
from streamst.cli import app
from streamst.errors import ConfigError
from streamst.pipeline import Pipeline
from streamst.server.app import create_app
from streamst.server.operator.config_file import ServeConfig, read_config
from streamst.server.operator.logs import JsonFormatter
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.wire.summary import Gaps, Summary

DEPLOY = Path(__file__).parents[1] / "deploy"


def write(folder: Path, text: str) -> Path:
    path = folder / "streamst.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_file_sets_what_it_names_and_flags_go_before_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'port = 9000\nmax_sessions = 7\nallowed_origins = ["https://a.example"]\nidle_s = 5\n')
    config = read_config(path, {"port": 1234})
    assert (config.port, config.max_sessions, config.idle_s) == (1234, 7, 5.0)
    assert config.allowed_origins == ("https://a.example",)
    assert config.model == "en-de"


def test_without_a_file_everything_is_default() -> None:
    assert read_config(None) == ServeConfig()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1", r"streamst\.toml: unknown key 'prot'; allowed: .*\bport\b"),
        ('port = "80"', r"port: '80' \(str\) is not int"),
        ("port = 99999", "allowed: 0 to 65535"),
        ("port = ", "is no TOML file"),
        ('log_format = "xml"', "text, json"),
        ('tls_cert = "a.pem"', "TLS needs a certificate and its key"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml cannot be read: No such file"):
        read_config(tmp_path / "nothing.toml")


def test_the_flags_of_serve_have_the_defaults_of_the_file() -> None:
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    defaults = {parameter.name: parameter.default for parameter in serve.params}
    for field in dataclasses.fields(ServeConfig):
        if field.name in defaults:
            assert defaults[field.name] == field.default, field.name
    assert {"port", "max_sessions", "log_format", "tls_self_signed"} <= set(defaults)


def test_a_json_line_has_time_level_message_and_extras_and_the_traceback() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    log = logging.Logger("streamst.server")
    log.addHandler(handler)
    log.info("session %s ended", "ab", extra={"session": "ab", "code": 1000})
    try:
        raise ValueError("broken\nin two lines")
    except ValueError:
        log.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "info", "logger": "streamst.server", "message": "session ab ended", "session": "ab", "code": 1000,
    }  # fmt: skip
    assert second["level"] == "error"
    assert "ValueError: broken" in second["exception"]


def test_percentiles_of_lag_are_by_nearest_rank() -> None:
    metrics = Metrics()
    assert "streamst_lag_recent_seconds{" not in metrics.exposition().decode()
    for ms in range(1, 101):
        metrics.lag_s.observe(ms / 1000)
    text = metrics.exposition().decode()
    found = dict(re.findall(r'streamst_lag_recent_seconds\{quantile="([\d.]+)"\} ([\d.]+)', text))
    assert found == {"0.5": "0.05", "0.95": "0.095", "0.99": "0.099"}
    assert "streamst_lag_seconds_count 100.0" in text


def test_a_sessions_report_is_counted() -> None:
    metrics = Metrics()
    metrics.report(
        Summary(laal_ms=1400.0, rtf=0.12, concealed_ms=500.0, gaps=Gaps(count=2), underruns=1, rate_changes=3)
    )
    metrics.end(1000, "done", fault=False)
    metrics.end(1011, "internal", fault=True)
    text = metrics.exposition().decode()
    for line in (
        'streamst_session_laal_seconds_bucket{le="1.5"} 1.0',
        'streamst_session_laal_seconds_bucket{le="1.0"} 0.0',
        "streamst_session_laal_ca_seconds_count 0.0",
        "streamst_session_rtf_sum 0.12",
        "streamst_audio_concealed_seconds_total 0.5",
        "streamst_audio_dropped_seconds_total 0.0",
        'streamst_errors_total{code="1011",name="internal"} 1.0',
        'streamst_sessions_ended_total{code="1000",name="done"} 1.0',
    ):
        assert line in text.splitlines()
    assert 'streamst_errors_total{code="1000"' not in text


def test_the_example_file_is_read_and_its_comments_tell_the_defaults(tmp_path: Path) -> None:
    text = (DEPLOY / "streamst.toml").read_text("utf-8")
    read_config(DEPLOY / "streamst.toml")
    commented = "\n".join(line.removeprefix("# ") for line in text.splitlines() if re.match(r"# \w+ = ", line))
    shown = {
        name: tuple(value) if isinstance(value, list) else value for name, value in tomllib.loads(commented).items()
    }
    defaults = {field.name: field.default for field in dataclasses.fields(ServeConfig)}
    parts = {"recogniser", "writer", "voice", "source", "target", "latency"}  # the model's where they are None,
    free = {"tls_cert", "tls_key", "policy", "api_keys", "store", "node_url", *parts}  # which cannot be written in TOML
    assert {name: shown[name] for name in shown if name not in free} == {
        name: defaults[name] for name in shown if name not in free
    }
    assert set(defaults) - set(shown) == {"log_format", "allowed_origins"}  # which it sets itself
    assert isinstance(read_config(write(tmp_path, commented)), ServerOptions)


def test_the_example_serves_this_machine_only() -> None:
    assert read_config(DEPLOY / "streamst.toml").host == "127.0.0.1"


def test_the_unit_leaves_the_service_no_more_than_it_needs() -> None:
    systemd_analyze = shutil.which("systemd-analyze")
    if systemd_analyze is None:
        text = (DEPLOY / "streamst.service").read_text("utf-8")
        for setting in ("UMask=0077", "MemoryMax=", "TasksMax=", "SystemCallFilter=", "RestrictNamespaces=yes"):
            assert setting in text
        return
    told = subprocess.run(
        [systemd_analyze, "security", "--offline=true", "--no-pager", str(DEPLOY / "streamst.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"exposure level for streamst.service: ([\d.]+)", told.stdout)
    assert found is not None, told.stderr
    assert float(found[1]) < 2


def test_the_unit_and_the_container_run_commands_that_exist() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "streamst.service")
    command = unit["Service"]["ExecStart"].split()
    container = (DEPLOY / "Containerfile").read_text("utf-8")
    started = json.loads(re.findall(r"^CMD (\[.*\])$", container, re.M)[-1])
    assert command[1:] == ["serve", "--config", "/etc/streamst/streamst.toml"]
    assert started == [*command[1:], "--host", "0.0.0.0"]  # of the container, whose port is published by choice
    stop_s = float(unit["Service"]["TimeoutStopSec"])
    assert stop_s > ServerOptions().drain_s + 35


def test_ready_means_that_the_next_client_would_be_served(tiny_pipeline: Pipeline) -> None:
    app = create_app(tiny_pipeline, ServerOptions(max_sessions=1))
    service = app.state.service

    async def ask() -> list[tuple[int, object]]:
        found = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:

            async def look() -> None:
                answer = await client.get("/readyz")
                found.append((answer.status_code, answer.json().get("reason")))

            await look()
            await client.post("/v1/sessions", json={})
            await look()
            service.sessions.draining.set()
            await look()
        return found

    assert asyncio.run(ask()) == [(200, None), (503, "full"), (503, "draining")]
    service.workers.close()


def test_a_server_run_from_a_file_logs_json_without_text_or_keys_and_drains(tmp_path: Path, tiny_model: Path) -> None:
    config = write(tmp_path, f'port = 0\nmodel = "{tiny_model}"\nlog_format = "json"\nmax_sessions = 3\n')
    clip = to_pcm16(read_audio(Path(__file__).parent / "data" / "station.flac"))

    async def talk(address: str) -> str:
        url = address.replace("http", "ws", 1) + "/simulstream?key=hush-hush"
        async with connect(url, proxy=None, additional_headers={"authorization": "Bearer sesame-open"}) as socket:
            for at in range(0, len(clip), 3200):
                await socket.send(clip[at : at + 3200])
            await socket.send('{"end_of_stream": true}')
            text = ""
            while "end_of_processing" not in (change := json.loads(await socket.recv())):
                text = text[: len(text) - len(change["deleted"])] + change["new"]
            return text

    command = [sys.executable, "-c", "from streamst.cli import main; main()", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = next(found[0] for line in process.stdout if (found := re.findall(r"http://[\d.]+:\d+", line)))
            text = asyncio.run(talk(address))
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    (ended,) = [line for line in lines if "session" in line]
    assert (ended["level"], len(ended["session"])) == ("info", 16)
    assert text
    for secret in ("hush-hush", "sesame-open", text):
        assert not re.search(rf"\b{re.escape(secret)}\b", errors)  # what was heard may be part of another word
