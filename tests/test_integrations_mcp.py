"""Our tools by MCP's own client: in this process, and over the pipes of `streamst mcp`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from recordings import silent_film

from streamst.audio import read_audio, write_wav
from streamst.events import Speech, Words
from streamst.integrations import mcp as ours
from streamst.integrations.mcp import make_server
from streamst.pipeline import Pipeline

CLIP = Path(__file__).parent / "data" / "station.flac"


def call(server: Any, name: str, **arguments: Any) -> tuple[bool, str]:
    """Whether it failed, and what it said."""

    async def go() -> tuple[bool, str]:
        async with Client(server, read_timeout_seconds=120.0) as client:
            result: Any = await client.call_tool(name, arguments)
            return bool(result.is_error), result.content[0].text

    return asyncio.run(go())


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Any:
    return make_server(lambda: tiny_pipeline)


def test_a_file_is_translated_as_a_session_does_it(server: Any, tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    session = tiny_pipeline.session()
    events = [*session.push(read_audio(CLIP)), *session.finish()]
    speech = np.concatenate([event.pcm for event in events if isinstance(event, Speech)])
    failed, text = call(server, "translate_file", path=str(CLIP), speech_path=str(tmp_path / "said.wav"))
    assert not failed
    told = json.loads(text)
    assert told["de"] == " ".join(word for event in events if isinstance(event, Words) for word in event.words)
    assert told["en"]
    assert np.abs(read_audio(told["speech_path"]) - speech).max() < 2 / 32_768
    failed, text = call(server, "translate_file", path=str(CLIP), format="vtt")
    assert json.loads(text)["de"].startswith("WEBVTT")


def test_where_nothing_is_said_no_speech_is_written(tmp_path: Path) -> None:
    path = tmp_path / "said.wav"
    assert ours._write(path, [], 16_000) == ours._write(path, [np.zeros(0, np.float32)], 16_000) == 0
    assert not path.exists()
    assert ours._write(path, [np.zeros(80, np.float32)], 16_000) == len(read_audio(path)) == 80


def test_a_recording_is_not_written_over(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "said.wav"
    write_wav(path, np.zeros(1_600, np.float32), 16_000)
    before = path.read_bytes()
    other = tmp_path / "other.wav"
    other.symlink_to(path)
    failed, text = call(server, "translate_file", path=str(path), speech_path=str(other))
    assert failed
    assert "other.wav is what is read: writing there would destroy it; choose another name" in text
    assert path.read_bytes() == before


def test_a_text_is_spoken_and_the_models_are_listed(server: Any, tmp_path: Path) -> None:
    failed, text = call(server, "say", text="Guten Morgen.", path=str(tmp_path / "said.wav"))
    assert not failed
    assert json.loads(text)["seconds"] == pytest.approx(len(read_audio(tmp_path / "said.wav")) / 16_000, abs=0.01)
    assert json.loads(call(server, "models")[1])["models"]["en-de"]["targets"] == ["de"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("translate_file", {"path": "nowhere.wav"}, "nowhere.wav"),
        ("translate_file", {"path": __file__}, "test_integrations_mcp.py"),
        ("translate_file", {"path": str(CLIP), "target": "fr"}, "'fr' is not available; allowed: de"),
        ("translate_file", {"path": str(CLIP), "format": "pdf"}, "srt"),
        ("translate_file", {"path": str(CLIP), "speech_path": "said.mp3"}, "written as .wav"),
        ("say", {"text": " ", "path": "said.wav"}, "1 to 20000 characters"),
        ("say", {"text": "ja", "path": "no/such/folder/said.wav"}, "does not exist"),
    ],
)
def test_what_is_not_possible_is_a_tools_error_in_our_words(
    server: Any, name: str, arguments: dict[str, Any], told: str
) -> None:
    failed, text = call(server, name, **arguments)
    assert failed
    assert told in text


def test_films_without_sound_half_recordings_and_days_of_silence_are_a_tools_error(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, half = tmp_path / "film.mp4", tmp_path / "half.flac"
    film.write_bytes(silent_film())
    half.write_bytes(CLIP.read_bytes()[: CLIP.stat().st_size * 2 // 3])
    for path, told in ((film, "film.mp4 holds no sound"), (half, "half.flac")):
        failed, text = call(server, "translate_file", path=str(path))
        assert failed
        assert told in text
    monkeypatch.setattr(ours, "LONGEST_S", 1.0)
    assert "allowed: 1 s" in call(server, "translate_file", path=str(CLIP))[1]


def test_a_hundred_clients_leave_no_task_behind(server: Any) -> None:
    async def go() -> int:
        for _ in range(100):
            async with Client(server, read_timeout_seconds=120.0) as client:
                await client.list_tools()
        return len(asyncio.all_tasks())

    assert asyncio.run(go()) == 1, "this very one"


def test_over_pipes_the_command_serves_the_same_tools(tiny_model: Path) -> None:
    command = ["-m", "streamst", "mcp", "--model", str(tiny_model)]

    async def go() -> tuple[set[str], str]:
        parameters = StdioServerParameters(command=sys.executable, args=command)
        async with Client(parameters, read_timeout_seconds=120.0) as client:
            tools: Any = await client.list_tools()
            result: Any = await client.call_tool("translate_file", {"path": str(CLIP)})
            return {tool.name for tool in tools.tools}, result.content[0].text

    names, text = asyncio.run(go())
    assert names == {"translate_file", "say", "models"}
    assert set(json.loads(text)) == {"en", "de"}
