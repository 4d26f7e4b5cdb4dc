"""StreamST as a service of Pipecat, in Pipecat's own test pipeline, against a real server.

Pipecat holds packages down that we do not: it lives in an environment of its own, which `make test` makes and uses.
"""

# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapted import CLIP, finals, native, server, talk  # noqa: F401
from cutting import CuttingProxy
from serving import PATIENCE_S, get, running, stopping

from streamst.audio import Pcm, from_pcm16, resample, to_pcm16
from streamst.events import Speech
from streamst.pipeline import Pipeline

pytest.importorskip("pipecat")

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    MetricsFrame,
    TextFrame,
    TranscriptionFrame,
    TranslationFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserAudioRawFrame,
)
from pipecat.metrics.metrics import STTUsageMetricsData
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.tests.utils import SleepFrame, run_test

from streamst.integrations import pipecat as ours
from streamst.integrations.pipecat import StreamstService

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def audio(pcm: Pcm, rate_hz: int = 16_000, samples: int = 320, channels: int = 1) -> list[Frame]:
    pieces = [pcm[at : at + samples] for at in range(0, len(pcm), samples)]
    return [InputAudioRawFrame(to_pcm16(np.repeat(piece, channels)), rate_hz, channels) for piece in pieces]


def ran(service: StreamstService, *frames: Frame, **options: Any) -> tuple[list[Frame], list[Frame]]:
    """What goes down, and what goes up."""

    async def go() -> tuple[list[Frame], list[Frame]]:
        async with asyncio.timeout(PATIENCE_S):
            down, up = await run_test(service, frames_to_send=frames, start_timeout=30.0, **options)
            assert len(asyncio.all_tasks()) == 1, "this very one"
            return [*down], [*up]

    return asyncio.run(go())


def of(frames: list[Frame], *kinds: type) -> list[Any]:
    return [frame for frame in frames if isinstance(frame, kinds)]


def test_a_talk_is_word_for_word_and_sample_for_sample_what_the_native_client_gets(
    server: str, talk: Pcm, native: list[Any]
) -> None:
    down, up = ran(StreamstService(server), *audio(talk))
    assert [frame.text for frame in of(down, TranscriptionFrame)] == finals(native, "en")
    assert all(frame.finalized and frame.language == "en" for frame in of(down, TranscriptionFrame))
    assert of(down, InterimTranscriptionFrame)
    assert " ".join(frame.text for frame in of(down, TranslationFrame)) == " ".join(finals(native, "de"))
    assert {frame.language for frame in of(down, TranslationFrame)} == {"de"}
    speech = np.concatenate([event.pcm for event in native if isinstance(event, Speech)])
    pcm = np.concatenate([from_pcm16(frame.audio) for frame in of(down, TTSAudioRawFrame)])
    assert len(pcm) == len(speech)
    assert np.abs(pcm - speech).max() < 2 / 32_768
    assert not of(up, ErrorFrame)

    spoken = of(down, TTSStartedFrame, TTSAudioRawFrame, TTSStoppedFrame)
    assert sum(isinstance(frame, TTSStartedFrame) for frame in spoken) == len(finals(native, "de"))
    inside = None
    for frame in spoken:
        inside = frame.context_id if isinstance(frame, TTSStartedFrame) else inside
        assert inside is not None
        assert frame.context_id == inside
        inside = None if isinstance(frame, TTSStoppedFrame) else inside
    assert inside is None


def test_frames_of_changing_rates_stereo_and_empty_ones_are_one_talk_and_speakers_keep_their_names(
    server: str, talk: Pcm
) -> None:
    half = len(talk) // 2
    named = UserAudioRawFrame(to_pcm16(talk[half:]), 16_000, 1, user_id="ana")
    down, up = ran(
        StreamstService(server), *audio(talk[:half], channels=2), InputAudioRawFrame(b"", 16_000, 1),
        *audio(resample(talk[:half], 16_000, 48_000), 48_000, 960), named,
    )  # fmt: skip
    assert not of(up, ErrorFrame)
    assert of(down, TranscriptionFrame)[-1].user_id == "ana"


def test_audio_that_is_not_usable_is_an_error_frame_and_the_talk_goes_on(server: str, talk: Pcm) -> None:
    down, up = ran(StreamstService(server), InputAudioRawFrame(b"odd", 16_000, 1), *audio(talk))
    (error,) = of(up, ErrorFrame)
    assert "not whole frames" in error.error
    assert of(down, TranslationFrame)


def test_an_interruption_ends_the_phrase_and_what_follows_is_another(server: str, talk: Pcm) -> None:
    service = StreamstService(server)
    down, _ = ran(
        service, *audio(talk), SleepFrame(sleep=2.0), InterruptionFrame(), *audio(talk), send_end_frame=True
    )  # fmt: skip
    started, stopped = of(down, TTSStartedFrame), of(down, TTSStoppedFrame)
    assert len(started) == len(stopped) >= 2
    assert [frame.context_id for frame in started] == [frame.context_id for frame in stopped]


def test_audio_that_was_used_is_told_as_metrics(server: str, talk: Pcm) -> None:
    params = PipelineParams(enable_metrics=True, enable_usage_metrics=True, audio_in_sample_rate=16_000)
    down, _ = ran(StreamstService(server), *audio(talk), pipeline_params=params)
    usage = [data for frame in of(down, MetricsFrame) for data in frame.data if isinstance(data, STTUsageMetricsData)]
    assert sum(data.value.audio_seconds for data in usage) == pytest.approx(len(talk) / 16_000)


def test_without_speech_there_are_captions_only(server: str, talk: Pcm, native: list[Any]) -> None:
    down, _ = ran(StreamstService(server, speech=False), *audio(talk))
    assert " ".join(frame.text for frame in of(down, TranslationFrame)) == " ".join(finals(native, "de"))
    assert not of(down, TTSStartedFrame, TTSAudioRawFrame)


def test_what_is_not_possible_is_an_error_frame_and_nothing_hangs(
    tiny_pipeline: Pipeline, talk: Pcm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "ATTEMPTS", 1)
    keys = tmp_path / "keys.toml"
    keys.write_text('[[keys]]\nname = "talks"\nkey = "a-key-of-our-own-1234"\n')
    pushed = audio(talk[:3200])
    with running(tiny_pipeline, api_keys=str(keys)) as address:
        for service, told in (
            (StreamstService(address, token="of-somebody-else-1234"), "4401"),
            (StreamstService(address, token="a-key-of-our-own-1234", target_language="fr"), "'fr'"),
            (StreamstService("ws://127.0.0.1:9"), "no StreamST server answers"),
        ):
            told_of: list[str] = []
            service.add_event_handler("on_connection_error", lambda _, error, told_of=told_of: told_of.append(error))
            _, up = ran(service, *pushed)
            assert told in of(up, ErrorFrame)[-1].error
            assert len(told_of) == 1
            assert not service.is_usable


def test_a_full_server_is_an_error_frame(tiny_pipeline: Pipeline, talk: Pcm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "ATTEMPTS", 1)
    with running(tiny_pipeline, max_sessions=1) as address:
        get(f"{address}/v1/sessions", b"{}", content_type="application/json")
        service = StreamstService(address)
        _, up = ran(service, *audio(talk[:3200]))
    assert "all 1 places are taken" in of(up, ErrorFrame)[-1].error
    assert not service.is_usable


def test_a_connection_that_is_cut_again_and_again_is_not_noticed(server: str, talk: Pcm, native: list[Any]) -> None:
    async def go() -> tuple[list[Frame], list[Frame], int]:
        async with asyncio.timeout(PATIENCE_S), CuttingProxy(server, 1, cuts=6, most_bytes=60_000) as proxy:
            service = StreamstService(proxy.address)
            down, up = await run_test(service, frames_to_send=audio(talk), start_timeout=30.0)
            return [*down], [*up], proxy.cuts

    down, up, cuts = asyncio.run(go())
    assert cuts
    assert not of(up, ErrorFrame)
    assert " ".join(frame.text for frame in of(down, TranslationFrame)) == " ".join(finals(native, "de"))


class Watched(StreamstService):
    """Knows when something was transcribed, and takes nothing behind a text until the server is gone."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.told, self.gone = asyncio.Event(), asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TextFrame) and not isinstance(frame, TranscriptionFrame):
            await self.gone.wait()
        await super().process_frame(frame, direction)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, TranscriptionFrame):
            self.told.set()
        await super().push_frame(frame, direction)


def test_a_server_that_drains_has_said_the_rest_and_what_follows_is_an_error_frame(
    tiny_pipeline: Pipeline, talk: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "ATTEMPTS", 1)

    async def go(address: str, stop: Callable[[], None]) -> tuple[list[Frame], list[Frame]]:
        service = Watched(address)

        async def end() -> None:
            await service.told.wait()
            await asyncio.to_thread(stop)
            service.gone.set()

        ending = asyncio.create_task(end())
        frames = [*audio(np.tile(talk, 2)), TextFrame("wait"), *audio(talk)]
        async with asyncio.timeout(PATIENCE_S):
            down, up = await run_test(service, frames_to_send=frames, start_timeout=30.0)
            await ending
        assert not service.is_usable
        return [*down], [*up]

    with stopping(tiny_pipeline, drain_s=0.1) as (address, stop):
        down, up = asyncio.run(go(address, stop))
    assert of(up, ErrorFrame)
    kinds = [type(frame) for frame in of(down, InterimTranscriptionFrame, TranscriptionFrame)]
    assert kinds[-1] is TranscriptionFrame, "the last segment was told whole"


def test_nothing_said_is_nothing_told_and_no_connection_is_made() -> None:
    down, up = ran(StreamstService("ws://127.0.0.1:9"))
    assert not of(up, ErrorFrame)
    assert not of(down, EndFrame, TranscriptionFrame)


def test_the_example_of_the_page_runs_as_it_stands() -> None:
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- run with pipecat -->\n```python\n(.*?)```", page, re.DOTALL)
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
