"""StreamST as LiveKit's recogniser, against a real server."""

# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from adapted import finals, native, server, talk  # noqa: F401
from livekit import rtc
from livekit.agents import APIConnectionError, APIStatusError, stt
from livekit_frames import ONCE, frames
from serving import PATIENCE_S

from streamst.audio import Pcm
from streamst.integrations.livekit_stt import StreamstSTT
from streamst.server.wire.seam import Settings

TYPES = stt.SpeechEventType


def recognised(server: str, pushed: list[rtc.AudioFrame], **options: Any) -> list[stt.SpeechEvent]:
    async def go() -> list[stt.SpeechEvent]:
        async with StreamstSTT(server, **options) as recogniser, recogniser.stream(conn_options=ONCE) as stream:
            for frame in pushed:
                stream.push_frame(frame)
            stream.end_input()
            async with asyncio.timeout(PATIENCE_S):
                return [event async for event in stream]

    return asyncio.run(go())


def test_the_recogniser_tells_both_texts_of_each_segment(server: str, talk: Pcm, native: list[Any]) -> None:
    events = recognised(server, frames(talk), target_language="de")
    over = [event.alternatives[0] for event in events if event.type == TYPES.FINAL_TRANSCRIPT]
    assert [data.text for data in over] == finals(native, "de")
    assert [data.source_texts for data in over] == [[text] for text in finals(native, "en")]
    assert {(data.language, *(data.source_languages or ())) for data in over} == {("de", "en")}
    kinds = [event.type for event in events]
    assert kinds.count(TYPES.START_OF_SPEECH) == kinds.count(TYPES.END_OF_SPEECH) == len(over)
    assert TYPES.INTERIM_TRANSCRIPT in kinds
    usage = [event.recognition_usage for event in events if event.recognition_usage]
    assert 0 < sum(one.audio_duration for one in usage) <= len(talk) / 16_000


def test_the_recogniser_alone_tells_what_was_said_and_when(server: str, talk: Pcm, native: list[Any]) -> None:
    events = recognised(server, frames(talk))
    over = [event.alternatives[0] for event in events if event.type == TYPES.FINAL_TRANSCRIPT]
    assert [data.text for data in over] == finals(native, "en")
    assert all(0 <= data.start_time < data.end_time < len(talk) / 16_000 + 1 for data in over)
    assert not over[0].target_texts


def test_a_recording_is_recognised_in_one_go(server: str, talk: Pcm, native: list[Any]) -> None:
    async def go() -> stt.SpeechEvent:
        async with StreamstSTT(server, target_language="de") as recogniser:
            return await recogniser.recognize(frames(talk), conn_options=ONCE)

    event = asyncio.run(go())
    assert event.alternatives[0].text == " ".join(finals(native, "de"))


def test_keyterms_reach_the_session() -> None:
    recogniser = StreamstSTT(keyterms=["Kiel"])
    recogniser._update_session_keyterms(["Ulm", "Kiel"])
    assert recogniser.settings() == Settings(source="en", output=("captions",), glossary=(("Kiel", ""), ("Ulm", "")))


def test_the_recognisers_refusals_are_livekits_own(server: str, talk: Pcm) -> None:
    with pytest.raises(APIStatusError, match="tlh"):
        recognised(server, frames(talk[:3200]), target_language="tlh")
    with pytest.raises(APIConnectionError, match="no StreamST server answers"):
        recognised("ws://127.0.0.1:9", frames(talk[:3200]))
