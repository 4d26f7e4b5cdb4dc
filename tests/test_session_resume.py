"""A session goes on where its snapshot was, whichever parts it has."""

from __future__ import annotations

import numpy as np
import peers
import pytest
import sherpa_models
from serving import captions_of, heard_of, words_of

from streamst import Session, load
from streamst.models.seam import Pcm

AT = 23_210  # within a chunk
MOONSHINE = f"moonshine:{peers.moonshine()}"


@pytest.fixture(scope="module")
def cities() -> Pcm:
    return peers.two_cities()[: 3 * 16_000]


@pytest.fixture(scope="module")
def sherpa(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random transducer."""
    return f"sherpa:{sherpa_models.transducer(tmp_path_factory.mktemp('sherpa'))}"


@pytest.mark.parametrize(
    "parts",
    [
        {"recogniser": "ear", "writer": "own"},
        {"recogniser": "ear", "writer": "pen"},
        {"recogniser": "own", "writer": "pen"},
        {"recogniser": "own", "voice": "espeak-ng"},
        {"recogniser": MOONSHINE, "writer": "own"},
        {"recogniser": "sherpa", "writer": "pen"},
    ],
    ids=lambda parts: " ".join(name.partition(":")[0] for name in parts.values()),
)
def test_a_snapshot_in_the_midst_of_a_chunk_changes_nothing(parts: dict[str, str], cities: Pcm, sherpa: str) -> None:
    recogniser = sherpa if parts["recogniser"] == "sherpa" else parts["recogniser"]
    pipeline = load(device="cpu", recogniser=recogniser, writer=parts.get("writer"), voice=parts.get("voice"))
    unbroken = pipeline.session()
    whole = [*unbroken.push(cities), *unbroken.finish()]
    first = pipeline.session()
    events = first.push(cities[:AT])
    second = Session.restore(first.snapshot(), pipeline.models)
    events += [*second.push(cities[AT:]), *second.finish()]
    assert captions_of(events) == captions_of(whole) != []
    assert words_of(events) == words_of(whole)
    assert len(heard_of(whole)) > 0
    np.testing.assert_allclose(heard_of(events), heard_of(whole), atol=1e-4)
