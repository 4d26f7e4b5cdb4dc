"""Parts of several origins in one session, behind the server and under the evaluator: Whisper tiny.en, our writer and
voice, translation models of CTranslate2, a voice of Piper."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import ct2_models
import numpy as np
import peers
import pytest
from serving import captions_of, get, heard_of, pieces, running, words_of, ws
from typer.testing import CliRunner

from streamst import Session, client
from streamst.audio import Pcm, write_wav
from streamst.cli.bench import bench_app
from streamst.errors import ConfigError, InputError
from streamst.events import Caption, Event, Finished
from streamst.models.speak.voice import GermanVoice
from streamst.pipeline import Pipeline, load
from streamst.policies.base import missing_needs
from streamst.policies.catalog import POLICIES
from streamst.server.wire.seam import Settings

WHISPER = f"whisper:{peers.tiny_whisper()}"


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random translation model that writes German."""
    return f"ct2:{ct2_models.many_languages(tmp_path_factory.mktemp('many'), ['eng_Latn', 'deu_Latn'])}"


@pytest.fixture(scope="module")
def joe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The American voice reading German: its network with the phonemes of another language."""
    file = tmp_path_factory.mktemp("piper") / "joe.onnx"
    file.symlink_to(peers.joe())
    settings = json.loads(Path(f"{peers.joe()}.json").read_text(encoding="utf-8")) | {"espeak": {"voice": "de"}}
    Path(f"{file}.json").write_text(json.dumps(settings), encoding="utf-8")
    return f"piper:{file}"


@pytest.fixture(scope="module", params=["our writer and voice", "ct2 and piper", "ct2 and our ear"])
def pipeline(request: pytest.FixtureRequest, german: str, joe: str) -> Pipeline:
    """Parts of different origins."""
    if request.param == "our writer and voice":
        return load(device="cpu", recogniser=WHISPER)
    if request.param == "ct2 and our ear":
        return load(device="cpu", recogniser="own", writer=german, voice="own")
    return load(device="cpu", recogniser=WHISPER, writer=german, voice=joe)


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return peers.two_cities()[: 3 * 16_000]


@pytest.fixture(scope="module")
def whole(pipeline: Pipeline, speech: Pcm) -> list[Event]:
    """What a session says."""
    return run(pipeline.session(), speech)


def run(session: Session, pcm: Pcm) -> list[Event]:
    return [*session.push(pcm), *session.finish()]


def said(events: list[Event]) -> tuple[list, list, Pcm]:
    return captions_of(events), words_of(events), heard_of(events)


def test_what_is_heard_is_captioned_written_and_spoken_and_nothing_certain_changes(
    pipeline: Pipeline, whole: list[Event]
) -> None:
    stable: dict[tuple[str, int], str] = {}
    for event in whole:
        if isinstance(event, Caption):
            assert event.stable.startswith(stable.get((event.lang, event.segment), ""))
            stable[event.lang, event.segment] = event.stable
    assert {lang for lang, _ in stable} == {pipeline.source, pipeline.targets[0]}
    _, words, pcm = said(whole)
    assert sum(len(one) for _, _, one in words) >= 2
    assert pipeline.voice is not None
    assert len(pcm) > pipeline.voice.sample_rate_hz / 2
    assert isinstance(whole[-1], Finished)


def test_a_session_goes_on_where_its_snapshot_was(pipeline: Pipeline, speech: Pcm, whole: list[Event]) -> None:
    at = 23_210  # within a chunk
    first = pipeline.session()
    early = first.push(speech[:at])
    second = Session.restore(first.snapshot(), pipeline.models)
    captions, words, pcm = said([*early, *run(second, speech[at:])])
    assert (captions, words) == said(whole)[:2]
    if isinstance(pipeline.voice, GermanVoice):  # Piper's never says a thing twice alike
        np.testing.assert_allclose(pcm, said(whole)[2], atol=1e-4)
    else:
        assert abs(len(pcm) - len(said(whole)[2])) < 0.5 * len(pcm)


def test_policies_that_the_parts_allow_run_and_the_others_say_what_is_missing(pipeline: Pipeline, speech: Pcm) -> None:
    for name in ("alignatt", "streamatt", "confidence", "retranslate", "monotonic", "transducer"):
        missing = missing_needs(POLICIES[name](), pipeline.provides)
        if missing:
            with pytest.raises(ConfigError, match=sorted(missing)[0]):
                pipeline.session(policy=name, speech=False)
        else:
            events = run(pipeline.session(policy=name, chunk_ms=640, speech=False), speech[:20_480])
            assert isinstance(events[-1], Finished)


async def streamed(address: str, speech: Pcm) -> list[Event]:
    events = client.stream(ws(address), pieces(speech), Settings())
    return [event async for event in events if isinstance(event, Event)]


def test_the_server_says_what_a_session_says_and_offers_what_the_parts_can(
    pipeline: Pipeline, speech: Pcm, whole: list[Event]
) -> None:
    with running(pipeline, speed_limit=0) as address:
        told = json.loads(get(f"{address}/v1/info")[2])
        events = asyncio.run(streamed(address, speech))
    assert captions_of(events) == captions_of(whole)
    assert words_of(events) == words_of(whole)
    assert len(heard_of(events)) > 0
    assert (told["source"], tuple(told["targets"])) == (pipeline.source, pipeline.targets)
    assert told["parts"] == dict(pipeline.parts)
    assert told["defaults"]["latency"] == pipeline.latency
    assert "audio" in told["output"]


def test_a_glossary_reaches_the_writer_that_can_and_is_refused_by_the_one_that_cannot(german: str, speech: Pcm) -> None:
    terms = {"best": "Besten"}
    whisper = load(device="cpu", recogniser=WHISPER)
    with_terms = run(whisper.session(speech=False, glossary=terms), speech)
    assert "Besten" in " ".join(word for _, _, words in words_of(with_terms) for word in words)
    with pytest.raises(InputError, match="knows no glossary"):
        load(device="cpu", recogniser=WHISPER, writer=german).session(glossary=terms)


@pytest.mark.parametrize("others", [(), ("--writer", "german", "--voice", "joe")], ids=["own", "ct2 and piper"])
def test_a_run_measures_the_parts_that_it_names(
    german: str, joe: str, speech: Pcm, tmp_path: Path, others: tuple[str, ...]
) -> None:
    write_wav(tmp_path / "cities.wav", speech, 16_000)
    text = "It was the best of times,"
    row = f"cities.wav\t3.0\tman\t{text}\tEs war die beste Zeit\n"
    (tmp_path / "manifest.tsv").write_text(f"path\tduration_s\tspeaker\ttext\ttranslation\n{row}")
    named = [{"german": german, "joe": joe}.get(one, one) for one in others]
    command = ["run", tmp_path / "manifest.tsv", "--out", tmp_path / "run", "--recogniser", WHISPER, *named]
    done = CliRunner().invoke(bench_app, [*map(str, command), "--resamples", "100"])
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "run" / "report.json").read_text())["metrics"]
    assert metrics["WER"]["value"] < 50
    assert metrics["LAAL"]["value"] > 0
    assert {"LAAL_CA_queue", "StartOffset", "RTF", "BLEU"} <= metrics.keys()
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["options"]["recogniser"] == WHISPER
    assert described["options"]["target"] == "de"
    assert list(described["model"]) == (["codec"] if others else ["codec", "pen", "voice-de"])
