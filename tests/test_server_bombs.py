"""Small recordings that promise or hold enormous ones, on every way in: an end in words, and no more memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bombs import alike, hours, patched, promising
from mcp import Client
from recordings import no_threads
from serving import get, health, running

from streamst.errors import InputError
from streamst.integrations import mcp as tools
from streamst.integrations.mcp import make_server
from streamst.pipeline import Pipeline

MOST_MIB = 96.0  # that they may take beside what is there
RUN = """
import json, sys, tempfile
from pathlib import Path
from bombs import promising
from streamst.audio import read_blocks
from streamst.audio.pieces import Unpacker
from streamst.errors import InputError

def told():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def piped(data):
    unpacker, heard = Unpacker(), 0
    try:
        for at in range(0, len(data), 4096):
            unpacker.feed(data[at : at + 4096])
            heard += len(unpacker.take())
            while unpacker.waiting:
                unpacker.feed(b"")
                heard += len(unpacker.take())
        unpacker.end()
        heard += len(unpacker.take())
        while unpacker.waiting:
            unpacker.feed(b"")
            heard += len(unpacker.take())
        return heard, unpacker.trouble
    finally:
        unpacker.close()

def filed(data):
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        heard = 0
        try:
            for block in read_blocks(file.name):
                heard += len(block)
        except InputError as error:
            return heard, str(error)
        return heard, ""

bombs = promising()
before = told()
for name, data in bombs.items():
    print(json.dumps([name, *piped(data), *filed(data), told() - before]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_what_promises_enormous_sizes_is_heard_or_refused_in_words_in_bounded_memory() -> None:
    tests = Path(__file__).parent
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tests)!r}]\n{RUN}"]
    done = subprocess.run(command, cwd=tests.parent, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one[0] for one in found] == [*promising()]
    for name, piped, trouble, filed, told, more_mib in found:
        assert max(piped, filed) <= 5 * 16_000, name
        assert piped or trouble, name
        assert filed or told, name
        assert more_mib < MOST_MIB, name
    assert sum(bool(one[2]) for one in found) > len(found) // 2


@pytest.mark.parametrize(
    "bomb", ["fragments, samples", "m4a, sizes", "mp4, boxes in boxes", "mov, many chunks of many samples"]
)
def test_an_index_that_counts_more_than_it_holds_is_refused_for_that(bomb: str, tmp_path: Path) -> None:
    from streamst.audio import read_audio

    path = tmp_path / "bomb.mp4"
    path.write_bytes(promising()[bomb])
    with pytest.raises(InputError, match=r"counts \d+ (entries; there is room|chunks of)|lies in more than 10 others"):
        read_audio(path)


def form(data: bytes) -> dict[str, Any]:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + data
    body += b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nany\r\n--b--\r\n'
    return {"data": body, "content_type": "multipart/form-data; boundary=b"}


def test_openais_endpoint_refuses_them_in_words_and_frees_their_places(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, max_duration_s=20.0, speed_limit=0) as address:
        for data, status, told in (
            (patched("fragments.mp4", b"trun", 8, b"\x04\x00\x00\x00"), 400, "its trun counts 67108864 entries"),
            (alike(1_000_000, 200), 400, "its trun counts 1000000 entries"),
            (hours(2), 413, "a recording may last 20 s; cut it"),
        ):
            got, _, body = get(f"{address}/v1/audio/translations", **form(data))
            assert (got, told in json.loads(body)["error"]["message"]) == (status, True), body
        deadline = time.monotonic() + 60
        while health(address)["sessions"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert no_threads()


def test_the_tool_reads_no_further_than_a_recording_may_last(
    tiny_pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(tools, "LONGEST_S", 10.0)
    heard_s = 0.0
    blocks = tools.read_blocks

    def counted(*given: Any) -> Any:
        nonlocal heard_s
        for block in blocks(*given):
            heard_s += len(block) / 16_000
            yield block

    monkeypatch.setattr(tools, "read_blocks", counted)

    async def go(path: Path) -> str:
        async with Client(make_server(lambda: tiny_pipeline), read_timeout_seconds=120.0) as client:
            result: Any = await client.call_tool("translate_file", {"path": str(path)})
            assert result.is_error
            return result.content[0].text

    long, bomb = tmp_path / "hours.flac", tmp_path / "bomb.mp4"
    long.write_bytes(hours(2))
    bomb.write_bytes(promising()["fragments, samples"])
    assert "hours.flac lasts more than 10 s, which is what is allowed" in asyncio.run(go(long))
    assert heard_s < 11
    assert "its trun counts 67108864 entries" in asyncio.run(go(bomb))
