"""simulstream's protocol without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.errors import ProtocolError
from streamst.events import Caption
from streamst.server.foreign.simulstream import SimulstreamProtocol
from streamst.server.wire.seam import Audio, Choice, Configure, Configured, Offer, Settings, Welcome

WELCOME = Welcome("1", Offer(defaults=Choice(target="de")), {})


def protocol() -> SimulstreamProtocol:
    made = SimulstreamProtocol(Settings(target="de", latency="medium"), 1000)
    made.render(WELCOME, 0.0)
    made.render(Configured(made.settings, 320), 0.0)
    return made


def caption(segment: int, stable: str, unstable: str = "", lang: str = "de") -> Caption:
    return Caption(
        source_ms=0.0, compute_ms=0.0, lang=lang, segment=segment, revision=0, stable=stable, unstable=unstable
    )


def told(made: SimulstreamProtocol, *answers: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for answer in answers for message in made.render(answer, 0.0)]


def test_metadata_sets_rate_and_languages() -> None:
    fields = {"sample_rate": 8000, "source_lang": "en", "target_lang": "de-DE", "metrics_metadata": {"wav_name": "x"}}
    (command,) = protocol().receive(json.dumps(fields))
    assert isinstance(command, Configure)
    settings = command.settings
    assert (settings.sample_rate_hz, settings.source, settings.target) == (8000, "en", "de")
    assert settings.output == ("captions",)


def test_metadata_that_changes_nothing_interrupts_nothing() -> None:
    assert protocol().receive('{"sample_rate": 16000, "target_lang": "de"}') == []


def test_samples_cut_in_half_are_put_together() -> None:
    made = protocol()
    commands = [command for message in (b"\1\2\3", b"\4\5\6\7\x08", b"") for command in made.receive(message)]
    assert commands == [Audio("pcm16", 0, 0, b"\1\2"), Audio("pcm16", 1, 1, b"\3\4\5\6\7\x08")]


def test_what_is_shown_is_what_was_deleted_and_new() -> None:
    made = protocol()
    captions = [
        caption(0, "", "Gut"),
        caption(0, "Guten", "Abend"),
        caption(0, "good", lang="en"),
        caption(0, "Guten Morgen."),
        caption(1, "", "Wo"),
        caption(1, "Was"),
    ]
    changes = told(made, *captions)
    text, seen = "", []
    for change in changes:
        assert text.endswith(change["deleted"])
        text = text[: len(text) - len(change["deleted"])] + change["new"]
        seen.append(text)
    assert seen == ["Gut", "Guten Abend", "Guten Morgen.", "Guten Morgen. Wo", "Guten Morgen. Was"]
    assert changes[2] == {"new": "Morgen.", "deleted": "Abend"}


def test_after_the_end_of_a_stream_another_may_begin() -> None:
    made = protocol()
    told(made, caption(0, "Eins"))
    (command,) = made.receive('{"end_of_stream": true}')
    assert isinstance(command, Configure)
    assert command.flush
    assert told(made, Configured(command.settings, 320)) == [{"new": "", "deleted": ""}, {"end_of_processing": True}]
    assert told(made, caption(1, "Zwei")) == [{"new": "Zwei", "deleted": ""}]


@pytest.mark.parametrize(
    ("message", "code"),
    [("hello", 1007), ('{"sample_rate": "many"}', 4400), ('{"target_lang": 7}', 4400), ("[1]", 1007)],
)
def test_a_wrong_message_earns_a_close_code(message: str, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        protocol().receive(message)
    assert caught.value.code == code


def test_codes_of_our_own_are_closed_as_policy_with_the_reason() -> None:
    assert protocol().closing(4400, "config.source: 'tlh'") == (1008, "bad_parameter: config.source: 'tlh'")
    assert protocol().closing(1007, "x") == (1007, "x")


TEXT = st.lists(st.sampled_from(["ja", "nein", "da"]), max_size=4).map(" ".join)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_any_captions_leave_the_last_text_on_the_page(captions: list[tuple[str, str]]) -> None:
    made, text = protocol(), ""
    for stable, unstable in captions:
        for change in told(made, caption(0, stable, unstable)):
            assert text.endswith(change["deleted"])
            text = text[: len(text) - len(change["deleted"])] + change["new"]
    last = captions[-1] if captions else ("", "")
    assert text == " ".join(part for part in last if part)
