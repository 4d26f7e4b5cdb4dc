"""A whole number is one however it is written, at every endpoint."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.errors import ProtocolError
from streamst.server.foreign.deepgram import read_query
from streamst.server.foreign.simulstream import SimulstreamProtocol
from streamst.server.wire.native import read_settings
from streamst.server.wire.numbers import whole_number
from streamst.server.wire.seam import Configure, Settings

WRITTEN = ["16000", "16000.0", "1.6e4", "16e3", "1.6E+4", "160000e-1"]
NOT_WHOLE = [16000.5, True, None, [], {}, "", "sixteen", "16_000", "16000.5", "nan", float("inf"), 1e300, "9" * 400]


@pytest.mark.parametrize("text", WRITTEN)
def test_every_spelling_in_json_is_the_same_rate_for_native_and_simulstream_clients(text: str) -> None:
    fields = json.loads(f'{{"sample_rate_hz": {text}}}')
    assert read_settings(fields).sample_rate_hz == 16_000
    assert isinstance(read_settings(fields).sample_rate_hz, int)
    protocol = SimulstreamProtocol(Settings(target="de"), 1000)
    (command,) = protocol.receive(f'{{"sample_rate": {text.replace("16", "24").replace("1.6", "2.4")}}}')
    assert isinstance(command, Configure)
    assert command.settings.sample_rate_hz in (24_000, 240_000 // 10)


def test_simulstream_clients_may_write_the_rate_as_a_string_as_its_own_server_allows() -> None:
    protocol = SimulstreamProtocol(Settings(target="de"), 1000)
    (command,) = protocol.receive('{"sample_rate": "48000"}')
    assert isinstance(command, Configure)
    assert command.settings.sample_rate_hz == 48_000


@pytest.mark.parametrize("value", NOT_WHOLE)
def test_what_is_no_whole_number_is_none(value: object) -> None:
    assert whole_number(value) is None


@given(st.integers(-(10**14), 10**14))
def test_an_integer_comes_back_from_each_of_its_spellings(number: int) -> None:
    for spelling in (number, float(number), str(number), f"{number}.0", f" {number} "):
        found = whole_number(spelling)
        assert found == number
        assert isinstance(found, int)


def test_a_fraction_of_a_rate_is_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match=r"sample_rate_hz: 16000\.5"):
        read_settings({"sample_rate_hz": 16000.5})
    with pytest.raises(ProtocolError, match=r"sample_rate: 16000\.5 is not a whole number"):
        SimulstreamProtocol(Settings(target="de"), 1000).receive('{"sample_rate": 16000.5}')


@pytest.mark.parametrize("written", ["1", "1.0", "1e0", "10e-1"])
def test_one_channel_is_one_however_it_is_written(written: str) -> None:
    query = {"encoding": "linear16", "sample_rate": "16000", "channels": written}
    assert read_query(query, [], "en", ("de",)).sample_rate_hz == 16_000
    with pytest.raises(ProtocolError, match="channels: one is heard here"):
        read_query({**query, "channels": written.replace("1", "2", 1)}, [], "en", ("de",))
