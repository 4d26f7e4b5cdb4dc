"""What holds for every policy: on random hypotheses, and on whole talks of a small world whose translator is exact."""

from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamst.evaluate.metrics.latency import Utterance, average_lagging
from streamst.policies.base import Decision, Heard, Hypothesis, Need, Policy, Said, missing_needs, rebase, whole_words
from streamst.policies.catalog import POLICIES, Value, make_policy
from streamst.policies.knobs import Knob, knobs_of

FRAME_MS = 80.0
SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PATIENT: dict[str, dict[str, Value]] = {
    "wait-k": {"k": 1000},
    "local-agreement": {"n": 100},
    "hold-n": {"n": 1000},
    "edatt": {"alpha": 0.0},
    "alignatt": {"hold_ms": 60_000},
    "streamatt": {"hold_ms": 60_000},
    "ctc-guided": {"lag": 1000},
    "transducer": {"hold_ms": 60_000},
    "taed": {"hold_ms": 60_000},
    "confidence": {"tau": 1.0},
    "consensus": {"passes": 100},
    "monotonic": {"threshold": 1.0},
    "retranslate": {},
}


@st.composite
def hypotheses(draw: st.DrawFn, frames: int = 20, beginning: tuple[int, ...] = ()) -> Hypothesis:
    """Words of one to three tokens (token % 3 is the place in its word) from a small vocabulary."""
    words = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=8))
    tokens = (*beginning, *(word * 3 + piece for word, pieces in words for piece in range(pieces)))
    n = len(tokens)
    finished = draw(st.booleans())
    ends = [i for i in range(1, n) if tokens[i] % 3 == 0] + ([n] if finished and n else [])
    random = Random(draw(st.integers(0, 10_000)))  # drawing every number by itself is slow
    rows = [[random.random() ** 4 for _ in range(frames)] for _ in range(n)]
    return Hypothesis(
        tokens=tokens,
        log_probs=tuple(-random.expovariate(1.5) for _ in range(n)),
        alignment=tuple(random.randrange(frames) for _ in range(n)),
        attention=tuple(tuple(x / sum(row) for x in row) for row in rows),
        word_ends=tuple(ends),
        finished=finished,
        write_probs=tuple(tuple(random.random() ** 0.3 for _ in range(3)) for _ in range(n)),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[Heard, Said, Hypothesis]:
    """What a policy may be asked in mid-stream."""
    frames = draw(st.integers(1, 24))
    count = st.integers(0, 12)
    heard = Heard(frames, FRAME_MS, draw(count), draw(count), draw(count))
    candidate = draw(hypotheses(frames))
    kept = draw(st.integers(0, len(candidate.tokens)))  # earlier decodes share a beginning, or nothing would ever agree
    earlier = draw(st.lists(hypotheses(frames, candidate.tokens[:kept]), max_size=3))
    return heard, Said(words=draw(count), tokens=draw(count), previous=tuple(earlier)), candidate


def values(knob: Knob) -> st.SearchStrategy[Value]:
    """Values of a parameter, mostly small ones, where decisions differ."""
    if isinstance(knob.default, bool):
        return st.booleans()
    if knob.choices:
        return st.sampled_from(knob.choices)
    if isinstance(knob.default, int):
        low = int(knob.low)
        scale = 80 if knob.name.endswith("_ms") else 1
        return st.integers(low, min(int(knob.high), low + 8 * scale))
    return st.floats(knob.low, knob.high)


@st.composite
def policies(draw: st.DrawFn, name: str) -> Policy:
    """The policy `name` with random parameters."""
    return make_policy(name, **{knob.name: draw(values(knob)) for knob in knobs_of(POLICIES[name])})


@pytest.mark.parametrize("name", POLICIES)
@given(data=st.data())
@SETTINGS
def test_a_commit_is_whole_words_of_the_candidate_and_nothing_where_no_decode_was_wanted(
    name: str, data: st.DataObject
) -> None:
    policy = data.draw(policies(name))
    heard, said, candidate = data.draw(situations())
    commit = policy.decide(heard, said, candidate).commit
    assert 0 <= commit <= len(candidate.tokens)
    assert commit == whole_words(candidate, commit)
    if name != "ctc-guided" and not policy.wants_decode(heard, said):  # ctc-guided waits for growth, to decode less
        assert commit == 0
    assert 0 <= policy.shown(heard, said, candidate) <= len(candidate.tokens)
    assert policy.decide(replace(heard, final=True), said, candidate) == Decision(len(candidate.tokens))


@pytest.mark.parametrize("name", POLICIES)
@given(data=st.data())
@SETTINGS
def test_at_its_patient_limit_a_policy_only_reads(name: str, data: st.DataObject) -> None:
    heard, said, candidate = data.draw(situations())
    assert make_policy(name, **PATIENT[name]).decide(heard, said, candidate) == Decision(0)


@pytest.mark.parametrize(
    ("name", "knob", "later"),
    [
        ("wait-k", "k", 1),
        ("wait-k", "ratio", -1),
        ("local-agreement", "n", 1),
        ("hold-n", "n", 1),
        ("edatt", "alpha", -1),
        ("edatt", "window_ms", 1),
        ("alignatt", "hold_ms", 1),
        ("alignatt", "rewind_ms", -1),
        ("streamatt", "hold_ms", 1),
        ("ctc-guided", "lag", 1),
        ("transducer", "hold_ms", 1),
        ("taed", "hold_ms", 1),
        ("confidence", "tau", 1),
        ("consensus", "gamma", 1),
        ("consensus", "passes", 1),
        ("monotonic", "threshold", 1),
        ("monotonic", "start_ms", 1),
    ],
)
@given(data=st.data())
@SETTINGS
def test_turning_a_knob_to_later_never_commits_more(name: str, knob: str, later: int, data: st.DataObject) -> None:
    one = next(k for k in knobs_of(POLICIES[name]) if k.name == knob)
    low, high = sorted((data.draw(values(one)), data.draw(values(one))), key=float)
    eager, patient = (low, high) if later > 0 else (high, low)
    situation = data.draw(situations())
    commits = [make_policy(name, **{knob: value}).decide(*situation).commit for value in (eager, patient)]
    assert commits[1] <= commits[0]


@given(situation=situations(), n=st.integers(2, 3))
@SETTINGS
def test_consensus_without_forgiveness_is_local_agreement(situation: tuple[Heard, Said, Hypothesis], n: int) -> None:
    consensus = make_policy("consensus", gamma=1.0, passes=n)
    assert consensus.decide(*situation) == make_policy("local-agreement", n=n).decide(*situation)


@given(candidate=hypotheses(), n=st.integers(0, 20))
@SETTINGS
def test_rebasing_by_a_commit_keeps_what_is_left_in_step(candidate: Hypothesis, n: int) -> None:
    left = rebase(candidate, candidate.tokens[:n])
    assert left is not None or n > len(candidate.tokens)
    if left is not None:
        sizes = {len(x) for x in (left.tokens, left.log_probs, left.alignment, left.attention, left.write_probs)}
        assert sizes == {len(candidate.tokens[n:])}
        assert [candidate.tokens[n:][:end] for end in left.word_ends] == [
            candidate.tokens[n:end] for end in candidate.word_ends if end > n
        ]


# a small world: word i of the source, two tokens, becomes word i of the target, one to three tokens


@dataclass(frozen=True)
class World:
    """Durations of the source words in frames, and token counts of the target words.

    guesses: whether the word that is still being heard is translated too, wrongly until it is complete.
    """

    durations: tuple[int, ...]
    pieces: tuple[int, ...]
    guesses: bool

    @property
    def frames(self) -> int:
        return sum(self.durations)

    def words(self, frames: int) -> int:
        """Source words complete after `frames`."""
        return sum(sum(self.durations[: i + 1]) <= frames for i in range(len(self.durations)))

    def heard(self, frames: int, final: bool = False) -> Heard:
        words = self.words(frames)
        begun = int(frames > sum(self.durations[:words]))
        return Heard(frames, FRAME_MS, words, 2 * words + begun, sum(self.pieces[:words]), final)

    def translation(self, words: int) -> list[tuple[int, int]]:
        """(token, source word) of the first `words` words: tokens 3 i, 3 i + 1, 3 i + 2 belong to word i."""
        return [(3 * i + piece, i) for i in range(words) for piece in range(self.pieces[i])]

    def hypothesise(self, frames: int, prefix: tuple[int, ...], final: bool) -> Hypothesis:
        """The exact continuation by position, every field as a network would fill it."""
        words = self.words(frames)
        pairs = self.translation(words)
        if self.guesses and frames > sum(self.durations[:words]) and not final:
            pairs.append((3000 + 3 * frames, words))
        pairs = pairs[len(prefix) :]
        alignment = tuple(min(sum(self.durations[: word + 1]), frames) - 1 for _, word in pairs)
        sure = [word < words for _, word in pairs]
        tokens = tuple(token for token, _ in pairs)
        ends = [i for i in range(1, len(tokens)) if tokens[i] % 3 == 0] + ([len(tokens)] if tokens else [])
        attention = []
        for frame in alignment:
            row = [0.0] * frames
            row[frame] += 0.7
            row[-1] += 0.3  # the sink
            attention.append(tuple(row))
        return Hypothesis(
            tokens=tokens,
            log_probs=tuple(-0.01 if s else -2.0 for s in sure),
            alignment=alignment,
            attention=tuple(attention),
            word_ends=tuple(ends),
            finished=True,
            write_probs=tuple((0.99 if s else 0.2,) for s in sure),
        )


def interpret(world: World, policy: Policy, chunk_frames: int) -> tuple[list[int], list[int], list[float]]:
    """A session in the small: all committed tokens, how many there were before the end, and the delay of each [ms]."""
    said, committed, delays, early = Said(), (), [], []
    positions = [*range(chunk_frames, world.frames, chunk_frames), world.frames]
    for frames in positions:
        final = frames == world.frames
        heard = world.heard(frames, final)
        if not policy.wants_decode(heard, said):
            continue
        candidate = world.hypothesise(frames, committed, final)
        commit = policy.decide(heard, said, candidate).commit
        new = candidate.tokens[:commit]
        committed = (*committed, *new)
        delays += [heard.frames * FRAME_MS] * commit
        if not final:
            early += new
        history = [rebase(h, new) for h in (*said.previous, candidate)]
        kept = tuple(h for h in history if h is not None)[-policy.history :] if policy.history else ()
        ends = sum(end <= commit for end in candidate.word_ends)
        said = Said(
            said.words + ends, len(committed), heard, kept, candidate.alignment[commit - 1] if commit else said.aligned
        )
    return list(committed), early, delays


@st.composite
def worlds(draw: st.DrawFn, guesses: bool) -> World:
    n = draw(st.integers(1, 10))
    durations = draw(st.lists(st.integers(1, 8), min_size=n, max_size=n))
    pieces = draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    return World(tuple(durations), tuple(pieces), guesses)


@pytest.mark.parametrize("name", POLICIES)
@given(data=st.data())
@SETTINGS
def test_no_word_is_lost_or_said_twice_whatever_the_parameters_and_chunks(name: str, data: st.DataObject) -> None:
    world = data.draw(worlds(guesses=False))
    policy = data.draw(policies(name))
    said, _, _ = interpret(world, policy, data.draw(st.integers(1, 12)))
    assert said == [token for token, _ in world.translation(len(world.durations))]


@pytest.mark.parametrize("name", POLICIES)
@given(data=st.data())
@SETTINGS
def test_at_its_patient_limit_a_policy_equals_offline_decoding(name: str, data: st.DataObject) -> None:
    world = data.draw(worlds(guesses=True))
    said, early, _ = interpret(world, make_policy(name, **PATIENT[name]), 4)
    assert early == []
    assert said == [token for token, _ in world.translation(len(world.durations))]


TALK = World(durations=(3, 5, 2, 6, 4, 5, 3, 7, 2, 4), pieces=(1, 2, 1, 3, 1, 1, 2, 1, 2, 1), guesses=True)


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "retranslate"])
def test_every_policy_that_speaks_has_begun_well_before_the_end(name: str) -> None:
    params: dict[str, dict[str, Value]] = {"hold-n": {"n": 2}, "monotonic": {"start_ms": 640}}
    policy = make_policy(name, **params.get(name, {}))
    assert not missing_needs(policy, frozenset(get_args(Need)))
    _, early, delays = interpret(TALK, policy, 2)
    assert len(early) >= 5
    assert delays == sorted(delays)
    assert delays[0] <= TALK.frames * FRAME_MS / 2


@pytest.mark.parametrize(
    "name", ["local-agreement", "alignatt", "streamatt", "edatt", "ctc-guided", "confidence", "monotonic"]
)
def test_policies_that_look_are_not_fooled_by_the_guess_at_an_unfinished_word(name: str) -> None:
    offline = [token for token, _ in TALK.translation(len(TALK.durations))]
    assert interpret(TALK, make_policy(name), 1)[0] == offline


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_ideal_wait_k_has_an_average_lagging_of_k_words(k: int) -> None:
    """Ma et al. 2019, section 4: with source and target of one length AL is k; here a word lasts 320 ms."""
    world = World(durations=(4,) * 10, pieces=(1,) * 10, guesses=False)
    for boundaries in ("ctc", "fixed"):
        _, _, delays = interpret(world, make_policy("wait-k", k=k, boundaries=boundaries), 4)
        assert delays == [min(k + i, 10) * 320.0 for i in range(10)]
        assert average_lagging(Utterance(tuple(delays), 3200.0, 10)) == pytest.approx(k * 320.0)


def test_a_slower_dial_never_says_a_token_earlier() -> None:
    for name, knob, rising in (
        ("wait-k", "k", (1, 2, 4, 8)),
        ("local-agreement", "n", (2, 3, 4)),
        ("hold-n", "n", (1, 3, 6)),
        ("alignatt", "hold_ms", (80, 240, 480)),
        ("ctc-guided", "lag", (0, 2, 5)),
    ):
        calm = replace(TALK, guesses=False)
        talks = [interpret(calm, make_policy(name, **{knob: value}), 2)[2] for value in rising]
        for early, late in pairwise(talks):
            assert all(a <= b for a, b in zip(early, late, strict=True)), name
