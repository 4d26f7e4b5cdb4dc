"""Tables of decisions: hypotheses in sentence pieces, no networks. ▁ begins a word."""

from dataclasses import replace

import pytest

from streamst.policies.alignatt import AlignAtt, aligned_frames
from streamst.policies.base import (
    Decoding,
    Heard,
    Hypothesis,
    Policy,
    Said,
    common_prefix,
    frames_of,
    missing_needs,
    news,
    rebase,
    still_following,
    whole_words,
)
from streamst.policies.confidence import Confidence
from streamst.policies.consensus import Consensus, prefix_distances
from streamst.policies.ctc_guided import CtcGuided
from streamst.policies.edatt import EDAtt, newest_mass
from streamst.policies.hold_n import HoldN
from streamst.policies.local_agreement import LocalAgreement
from streamst.policies.monotonic import Monotonic
from streamst.policies.retranslate import Retranslate
from streamst.policies.taed import Taed
from streamst.policies.transducer import Transducer
from streamst.policies.wait_k import WaitK

PIECES = ("▁das", "▁Haus", "tür", "▁die", "▁ist", "▁groß", "▁alt", "▁sehr", "▁Ha", "us", ".", "▁ein", "▁war")
VOCABULARY = {piece: i for i, piece in enumerate(PIECES)}


def hyp(
    text: str,
    finished: bool = False,
    alignment: tuple[int, ...] = (),
    log_probs: tuple[float, ...] = (),
    attention: tuple[tuple[float, ...], ...] = (),
    write_probs: tuple[tuple[float, ...], ...] = (),
) -> Hypothesis:
    """A hypothesis from pieces; the last word is complete only where the sentence is finished."""
    pieces = text.split()
    ends = [n for n in range(1, len(pieces)) if pieces[n][0] in "▁"]
    return Hypothesis(
        tokens=tuple(VOCABULARY[piece] for piece in pieces),
        word_ends=(*ends, len(pieces)) if finished and pieces else tuple(ends),
        finished=finished,
        alignment=alignment,
        log_probs=log_probs,
        attention=attention,
        write_probs=write_probs,
    )


def heard(frames: int = 50, words: int = 0, source: int = 0, target: int = 0, final: bool = False) -> Heard:
    """Counts at 80 ms a frame."""
    return Heard(frames, 80.0, source_words=words, source_tokens=source, target_tokens=target, final=final)


HOUSE = "▁das ▁Haus ▁ist ▁sehr ▁groß"


# what all share


def test_only_complete_words_are_left_after_the_word_guard() -> None:
    candidate = hyp("▁das ▁Ha us ▁ist")
    assert [whole_words(candidate, n) for n in range(5)] == [0, 1, 1, 3, 3]
    assert whole_words(replace(hyp("▁das ▁Ha us ▁ist", finished=True)), 4) == 4


@pytest.mark.parametrize(
    ("sequences", "length"), [([], 0), ([[]], 0), ([[1, 2], [1, 2, 3]], 2), ([[1, 2], [2, 2]], 0), ([[4, 5]], 2)]
)
def test_common_prefix_stops_at_the_first_difference(sequences: list[list[int]], length: int) -> None:
    assert common_prefix(sequences) == length


def test_a_source_ctc_gates_decodes_by_tokens_and_its_absence_by_frames() -> None:
    assert news(heard(frames=10), None)
    assert not news(heard(frames=0), None)
    assert not news(heard(frames=20, source=3), heard(frames=10, source=3))
    assert news(heard(frames=20, source=4), heard(frames=10, source=3))
    assert news(heard(frames=20), heard(frames=10))


@pytest.mark.parametrize(
    ("ms", "frame_ms", "frames"), [(240, 80, 3), (240, 40, 6), (250, 80, 4), (20, 80, 1), (0, 80, 0)]
)
def test_durations_cover_whole_frames(ms: int, frame_ms: float, frames: int) -> None:
    assert frames_of(ms, frame_ms) == frames


def test_rebase_drops_what_was_committed_and_refuses_another_beginning() -> None:
    before = hyp("▁das ▁Ha us ▁ist", finished=True, alignment=(1, 4, 5, 9), log_probs=(-1.0, -2.0, -3.0, -4.0))
    after = rebase(before, before.tokens[:3])
    assert after == hyp("▁ist", finished=True, alignment=(9,), log_probs=(-4.0,))
    assert rebase(before, hyp("▁die").tokens) is None
    assert rebase(before, ()) == before
    assert rebase(hyp("▁das"), hyp("▁das ▁Haus").tokens) is None


def test_missing_needs_names_what_the_translator_lacks_and_the_session_has_previous_itself() -> None:
    assert missing_needs(AlignAtt(), frozenset({"source-ctc"})) == {"alignment"}
    assert missing_needs(LocalAgreement(), frozenset()) == frozenset()
    assert missing_needs(CtcGuided(), frozenset({"source-ctc"})) == {"target-ctc"}
    assert missing_needs(WaitK(boundaries="fixed"), frozenset()) == frozenset()


@pytest.mark.parametrize(
    "policy",
    [
        WaitK(k=1000),
        LocalAgreement(n=9),
        HoldN(n=99),
        EDAtt(alpha=0),
        AlignAtt(hold_ms=60_000),
        CtcGuided(lag=99),
        Transducer(hold_ms=9000),
        Taed(hold_ms=9000),
        Confidence(tau=1),
        Consensus(passes=9),
        Monotonic(threshold=1),
        Retranslate(),
    ],
)
def test_the_end_of_the_source_commits_everything_held_even_a_word_without_an_end(policy: Policy) -> None:
    assert policy.wants_decode(heard(final=True), Said(heard=heard()))
    assert policy.decide(heard(final=True), Said(), hyp("▁das ▁Ha us")).commit == 3


# wait-k


@pytest.mark.parametrize(
    ("k", "words", "said", "commit"),
    [
        (1, 0, 0, 0),
        (1, 1, 0, 1),
        (1, 3, 1, 2),
        (3, 2, 0, 0),
        (3, 3, 0, 1),
        (3, 4, 1, 1),
        (3, 4, 2, 0),
        (3, 9, 0, 4),  # seven allowed, four complete words there
        (3, 9, 9, 0),  # more said than allowed
    ],
)
def test_wait_k_follows_the_schedule_of_ma_et_al(k: int, words: int, said: int, commit: int) -> None:
    assert WaitK(k=k).decide(heard(words=words), Said(words=said), hyp(HOUSE)).commit == commit


@pytest.mark.parametrize(("frames", "commit"), [(11, 0), (12, 1), (15, 1), (16, 2)])
def test_wait_k_with_a_fixed_step_takes_a_word_for_every_320_ms(frames: int, commit: int) -> None:
    assert WaitK(k=3, boundaries="fixed").decide(heard(frames=frames), Said(), hyp(HOUSE)).commit == commit


def test_wait_k_catches_up_with_a_ratio_above_one() -> None:
    allowed = [WaitK(k=2, ratio=1.5).words_allowed(heard(words=n)) for n in range(7)]
    assert allowed == [0, 0, 1, 2, 4, 5, 7]


def test_wait_k_counts_what_was_said_and_not_what_was_allowed() -> None:
    policy = WaitK(k=1)
    short = hyp("▁das ▁Ha us", finished=False)  # one complete word although three are allowed
    assert policy.decide(heard(words=3), Said(words=0), short).commit == 1
    assert policy.decide(heard(words=4), Said(words=1), hyp("▁Haus ▁ist ▁sehr ▁groß")).commit == 3


def test_wait_k_decodes_only_when_it_may_say_something_new() -> None:
    policy = WaitK(k=3)
    assert not policy.wants_decode(heard(words=2), Said())
    assert policy.wants_decode(heard(words=3), Said())
    exhausted = Said(words=0, heard=heard(words=3, source=5))
    assert not policy.wants_decode(heard(frames=60, words=3, source=5), exhausted)
    assert policy.wants_decode(heard(words=3, source=6), exhausted)
    assert policy.wants_decode(heard(words=4, source=6), exhausted)
    fixed = WaitK(k=3, boundaries="fixed")  # in a pause the clock alone allows more
    assert fixed.wants_decode(heard(frames=16, source=5), Said(words=1, heard=heard(frames=12, source=5)))


# local agreement, hold-n, consensus


@pytest.mark.parametrize(
    ("previous", "newest", "commit"),
    [
        ((), HOUSE, 0),
        (("▁das ▁Haus ▁war",), HOUSE, 2),
        ((HOUSE,), HOUSE, 4),  # the last word has no end in either
        (("▁die ▁Haus ▁ist",), HOUSE, 0),
        (("▁das ▁Haus tür ▁ist",), HOUSE, 1),  # "Haus" is a token of both and a word of one
        (("▁das ▁Haus",), HOUSE, 1),  # and may still grow where it was the last
        ((HOUSE, "▁die ▁Haus"), "▁die ▁Haus ▁ist", 1),  # only the newest n - 1 count
    ],
)
def test_local_agreement_commits_words_that_both_decodes_complete(
    previous: tuple[str, ...], newest: str, commit: int
) -> None:
    said = Said(previous=tuple(hyp(text) for text in previous))
    assert LocalAgreement(n=2).decide(heard(), said, hyp(newest)).commit == commit


def test_local_agreement_of_three_waits_for_two_earlier_decodes_and_takes_what_all_share() -> None:
    policy = LocalAgreement(n=3)
    assert policy.history == 2
    assert policy.decide(heard(), Said(previous=(hyp(HOUSE),)), hyp(HOUSE)).commit == 0
    said = Said(previous=(hyp("▁das ▁Haus ▁war ▁alt"), hyp(HOUSE)))
    assert policy.decide(heard(), said, hyp(HOUSE)).commit == 2


def test_local_agreement_takes_the_last_word_only_where_both_decodes_ended_the_sentence() -> None:
    done = hyp("▁das ▁Haus ▁ist ▁alt", finished=True)
    assert LocalAgreement().decide(heard(), Said(previous=(done,)), done).commit == 4
    said = Said(previous=(hyp("▁das ▁Haus ▁ist ▁alt"),))
    assert LocalAgreement().decide(heard(), said, done).commit == 3


def test_local_agreement_wants_no_second_look_at_unchanged_input() -> None:
    policy = LocalAgreement()
    assert policy.wants_decode(heard(source=2), Said())
    assert not policy.wants_decode(heard(frames=90, source=2), Said(heard=heard(frames=50, source=2)))
    assert policy.wants_decode(heard(frames=90, source=3), Said(heard=heard(frames=50, source=2)))


@pytest.mark.parametrize(("n", "commit"), [(1, 4), (2, 3), (3, 1), (4, 1), (5, 0), (9, 0)])
def test_hold_n_keeps_the_last_tokens_and_the_rest_of_their_word(n: int, commit: int) -> None:
    assert HoldN(n=n).decide(heard(), Said(), hyp("▁das ▁Ha us ▁ist ▁alt")).commit == commit


def test_edit_distances_of_prefixes_match_a_hand_worked_table() -> None:
    assert prefix_distances([1, 2, 3], [1, 3]) == [[0, 1, 2], [1, 0, 1], [2, 1, 1], [3, 2, 1]]


@pytest.mark.parametrize(
    ("gamma", "commit"),
    [(1.0, 2), (0.8, 2), (0.75, 4), (0.5, 4)],
)
def test_consensus_forgives_a_word_once_later_words_agree(gamma: float, commit: int) -> None:
    said = Said(previous=(hyp("▁das ▁Haus ▁war ▁sehr ▁alt"),))  # war for ist: one edit in four up to "sehr"
    assert Consensus(gamma=gamma).decide(heard(), said, hyp(HOUSE)).commit == commit


def test_consensus_never_ends_on_a_word_that_only_the_newest_decode_has() -> None:
    said = Said(previous=(hyp("▁das ▁Haus ▁war ▁alt ▁ein"),))
    assert Consensus(gamma=0.0).decide(heard(), said, hyp(HOUSE)).commit == 2
    assert Consensus(gamma=0.0).decide(heard(), Said(previous=(hyp("▁die ▁war"),)), hyp(HOUSE)).commit == 0


def test_consensus_of_three_asks_both_earlier_decodes() -> None:
    for earlier in ((hyp(HOUSE), hyp("▁das ▁die")), (hyp("▁das ▁die"), hyp(HOUSE))):
        assert Consensus(passes=3).decide(heard(), Said(previous=earlier), hyp(HOUSE)).commit == 1
    assert Consensus(passes=3).decide(heard(), Said(previous=(hyp(HOUSE),)), hyp(HOUSE)).commit == 0


# attention


def test_attention_on_the_newest_audio_ignores_the_sink_and_an_empty_rest_waits() -> None:
    assert newest_mass((0.2, 0.2, 0.1, 0.5), 1, 1) == pytest.approx(0.2)
    assert newest_mass((0.2, 0.2, 0.1, 0.5), 2, 1) == pytest.approx(0.6)
    assert newest_mass((0.2, 0.2, 0.1, 0.5), 1, 0) == pytest.approx(0.5)
    assert newest_mass((0.0, 0.0, 1.0), 1, 1) == 1.0
    assert newest_mass((1.0,), 1, 1) == 1.0


@pytest.mark.parametrize(("alpha", "commit"), [(0.6, 3), (0.4, 2), (0.15, 1), (0.05, 0)])
def test_edatt_stops_at_the_first_token_that_looks_at_the_newest_audio(alpha: float, commit: int) -> None:
    # shares of the newest column but the last: 0.11, 0.2, 0.4, 0.8
    rows = ((0.8, 0.0, 0.1, 0.1), (0.4, 0.0, 0.1, 0.5), (0.5, 0.1, 0.4, 0.0), (0.1, 0.1, 0.8, 0.0))
    candidate = hyp("▁das ▁Haus ▁ist ▁alt", attention=rows)
    assert EDAtt(alpha=alpha).decide(heard(frames=4), Said(), candidate).commit == commit


@pytest.mark.parametrize(("hold_ms", "commit"), [(80, 4), (160, 3), (400, 3), (480, 1), (2000, 0), (60_000, 0)])
def test_alignatt_stops_at_the_first_token_read_from_audio_that_is_too_new(hold_ms: int, commit: int) -> None:
    candidate = hyp("▁das ▁Ha us ▁ist ▁alt", alignment=(26, 44, 43, 48, 49))
    assert AlignAtt(hold_ms=hold_ms).decide(heard(frames=50), Said(), candidate).commit == commit


def test_alignatt_holds_what_jumps_back_as_loops_do() -> None:
    candidate = hyp("▁das ▁Haus ▁das ▁Haus ▁ist", alignment=(80, 85, 10, 15, 20))
    assert AlignAtt().decide(heard(frames=100), Said(), candidate).commit == 2
    assert AlignAtt(rewind_ms=6100).decide(heard(frames=100), Said(), candidate).commit == 4
    assert AlignAtt().decide(heard(frames=200), Said(aligned=140), candidate).commit == 0


def test_alignatt_decodes_again_in_a_pause_once_the_held_audio_is_old_enough() -> None:
    policy, said = AlignAtt(hold_ms=240), Said(heard=heard(frames=50, source=4))
    assert not policy.wants_decode(heard(frames=52, source=4), said)
    assert policy.wants_decode(heard(frames=53, source=4), said)
    assert policy.wants_decode(heard(frames=51, source=5), said)


def test_alignment_by_peaks_is_not_fooled_by_the_newest_frame_or_by_a_sink() -> None:
    newest = ((0.3, 0.1, 0.0, 0.6), (0.1, 0.2, 0.1, 0.6))
    assert aligned_frames(newest) == (0, 1)
    sink = ((0.4, 0.1, 0.5, 0.0), (0.1, 0.3, 0.6, 0.0), (0.1, 0.2, 0.6, 0.1), (0.1, 0.1, 0.5, 0.3))
    assert aligned_frames(sink, "drop-last") == (2, 2, 2, 2)
    assert aligned_frames(sink, "z-score") == (0, 1, 2, 3)


def test_standardising_a_single_token_falls_back_instead_of_aligning_it_with_frame_0() -> None:
    assert aligned_frames(((0.1, 0.2, 0.6, 0.1),), "z-score") == (2,)
    candidate = hyp("▁das ▁ist", attention=((0.1, 0.2, 0.6, 0.1), (0.1, 0.1, 0.7, 0.1)))
    assert AlignAtt(hold_ms=160, normalise="z-score").decide(heard(frames=4), Said(), candidate).commit == 0
    assert AlignAtt(hold_ms=80, normalise="z-score").decide(heard(frames=4), Said(), candidate).commit == 1


# counters and trained heads


@pytest.mark.parametrize(
    ("target", "said", "lag", "commit"), [(5, 0, 0, 4), (3, 0, 0, 3), (2, 0, 0, 1), (4, 1, 1, 1), (1, 3, 0, 0)]
)
def test_ctc_guided_says_as_many_tokens_as_the_target_ctc_counts(target: int, said: int, lag: int, commit: int) -> None:
    candidate = hyp("▁das ▁Ha us ▁ist ▁alt")
    assert CtcGuided(lag=lag).decide(heard(source=9, target=target), Said(tokens=said), candidate).commit == commit


@pytest.mark.parametrize(
    ("source", "target", "wants"),
    [(6, 6, False), (7, 5, False), (6, 5, False), (7, 6, True), (3, 9, False), (7, 3, False)],
)
def test_ctc_guided_decodes_when_both_counts_grew_by_the_stride(source: int, target: int, wants: bool) -> None:
    said = Said(tokens=2, heard=heard(source=5, target=4))
    assert CtcGuided(stride=2).wants_decode(heard(source=source, target=target), said) == wants


def test_ctc_guided_does_not_decode_for_tokens_that_are_said_already() -> None:
    grown, before = heard(source=9, target=6), heard(source=5, target=4)
    assert CtcGuided(lag=1).wants_decode(grown, Said(tokens=4, heard=before))
    assert not CtcGuided(lag=1).wants_decode(grown, Said(tokens=5, heard=before))


def test_transducers_say_what_the_lattice_emitted_and_hold_fresh_labels_of_a_beam() -> None:
    candidate = hyp("▁das ▁Haus ▁ist ▁alt", alignment=(5, 20, 47, 49))
    for native, mode in ((Transducer, "transducer"), (Taed, "taed")):
        assert native().decide(heard(frames=50), Said(), candidate).commit == 3
        assert native(hold_ms=320).decide(heard(frames=50), Said(), candidate).commit == 2
        assert native().needs == {mode}
    assert Transducer(blank_penalty=1.5).decoding == Decoding(mode="transducer", blank_penalty=1.5)
    assert Taed(blank_penalty=1.5).decoding == Decoding(mode="taed", blank_penalty=1.5)


@pytest.mark.parametrize(
    ("tau", "word", "commit"), [(0.8, "min", 1), (0.4, "min", 3), (0.55, "mean", 3), (0.1, "min", 4), (1.0, "min", 0)]
)
def test_confidence_stops_at_the_first_word_that_is_not_sure(tau: float, word: str, commit: int) -> None:
    logs = (0.0, -0.1054, -0.6931, -1.6094, 0.0)  # 1, 0.9 and 0.5 (mean 0.67), 0.2, 1
    candidate = hyp("▁das ▁Ha us ▁ist ▁alt", log_probs=logs)
    assert Confidence(tau=tau, word=word).decide(heard(), Said(), candidate).commit == commit


@pytest.mark.parametrize(("combine", "commit"), [("min", 1), ("median", 3), ("mean", 2)])
def test_monotonic_combines_layers_and_heads(combine: str, commit: int) -> None:
    probabilities = ((0.9, 0.8, 0.7), (0.9, 0.9, 0.1), (0.6, 0.6, 0.1), (0.1, 0.2, 0.3))
    candidate = hyp("▁das ▁Haus ▁ist ▁alt", write_probs=probabilities)
    assert Monotonic(combine=combine).decide(heard(), Said(), candidate).commit == commit


def test_monotonic_waits_for_a_start_and_ends_a_run() -> None:
    candidate = hyp(HOUSE, write_probs=((0.9,),) * 5)
    policy = Monotonic(start_ms=1920, run_tokens=2)
    assert policy.decide(heard(frames=23), Said(), candidate).commit == 0
    assert not policy.wants_decode(heard(frames=23), Said())
    assert policy.decide(heard(frames=24), Said(), candidate).commit == 2


# re-translation


def test_retranslation_shows_all_but_its_mask_and_commits_at_the_end_only() -> None:
    policy = Retranslate(mask=2)
    assert policy.captions_only
    assert policy.decide(heard(), Said(), hyp(HOUSE)).commit == 0
    assert policy.shown(heard(), Said(), hyp(HOUSE)) == 3
    assert policy.shown(heard(), Said(), hyp("▁das")) == 0
    assert policy.shown(heard(final=True), Said(), hyp(HOUSE)) == 5
    assert WaitK().shown(heard(), Said(), hyp(HOUSE)) == 5


def test_biased_decoding_follows_the_text_that_was_shown_until_it_ends_or_is_left() -> None:
    assert still_following((4, 5, 6), (4,)) == 5
    assert still_following((4, 5, 6), (7,)) is None
    assert still_following((4, 5, 6), (4, 5, 6)) is None
