"""What StreamAtt forgets: tables of kept words and frames, and what must never happen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.policies.base import Committed, Droppable, Heard
from streamst.policies.streamatt import StreamAtt

# five words of 1, 2, 1, 1 and 2 tokens
WORDS = Committed(alignment=(3, 10, 12, 8, 20, 26, 28), word_ends=(1, 3, 4, 5, 7))


def heard(frames: int) -> Heard:
    """80 ms a frame."""
    return Heard(frames, 80.0)


@pytest.mark.parametrize(
    ("keep_words", "dropped"),
    [
        (1, Droppable(5, 26)),
        (2, Droppable(4, 20)),
        (3, Droppable(3, 8)),
        (4, Droppable(1, 8)),
        (5, Droppable(0, 3)),
        (20, Droppable(0, 3)),
    ],
)
def test_audio_goes_up_to_the_earliest_frame_that_a_kept_word_was_read_from(
    keep_words: int, dropped: Droppable
) -> None:
    assert StreamAtt(keep_words=keep_words).droppable(heard(40), WORDS) == dropped


def test_audio_is_cut_at_the_start_of_a_source_word() -> None:
    policy = StreamAtt(keep_words=2)
    assert policy.droppable(heard(40), WORDS, (2, 9, 17, 24)) == Droppable(4, 17)
    assert policy.droppable(heard(40), WORDS, (2, 9, 20, 24)) == Droppable(4, 20)
    assert policy.droppable(heard(40), WORDS, (22, 24)) == Droppable(4, 0)


def test_by_sentences_the_one_that_was_begun_is_kept_and_the_one_just_ended_too() -> None:
    policy = StreamAtt(text="sentence")
    begun = Committed(WORDS.alignment, WORDS.word_ends, sentence_ends=(1, 4))
    assert policy.droppable(heard(40), begun) == Droppable(4, 20)
    ended = Committed(WORDS.alignment, WORDS.word_ends, sentence_ends=(4, 7))
    assert policy.droppable(heard(40), ended) == Droppable(4, 20)
    assert policy.droppable(heard(40), WORDS) == Droppable(0, 3)


@pytest.mark.parametrize(("keep_tokens", "tokens"), [(7, 0), (6, 1), (4, 3), (3, 4), (2, 5), (1, 5)])
def test_too_many_tokens_go_by_whole_words_and_the_last_word_stays(keep_tokens: int, tokens: int) -> None:
    assert StreamAtt(keep_tokens=keep_tokens, text="sentence").droppable(heard(40), WORDS).tokens == tokens


def test_audio_beyond_the_cap_goes_together_with_the_words_read_from_it() -> None:
    policy = StreamAtt(keep_ms=1600)  # 20 frames
    assert policy.droppable(heard(31), WORDS) == Droppable(1, 11)  # the second word reaches frame 12
    assert policy.droppable(heard(40), WORDS) == Droppable(4, 20)
    assert policy.droppable(heard(100), WORDS) == Droppable(7, 80)
    assert policy.droppable(heard(100), Committed((), ())) == Droppable(0, 80)
    assert policy.droppable(heard(20), Committed((), ())) == Droppable(0, 0)


def test_unsegmented_text_is_trimmed_when_characters_count_as_words() -> None:
    characters = Committed(alignment=tuple(range(50)), word_ends=tuple(range(1, 51)))
    assert StreamAtt(keep_words=20).droppable(heard(60), characters) == Droppable(30, 30)
    as_one_word = Committed(alignment=tuple(range(50)), word_ends=(50,))  # the published bug: never trimmed
    assert StreamAtt(keep_words=20).droppable(heard(60), as_one_word) == Droppable(0, 0)


@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40),
    keep_words=st.integers(1, 8),
    keep_tokens=st.integers(1, 20),
    text=st.sampled_from(["words", "sentence"]),
    later=st.integers(1, 60),
)
@settings(deadline=None)
def test_what_is_kept_is_whole_words_with_all_the_audio_behind_them(
    steps: list[tuple[int, bool]], keep_words: int, keep_tokens: int, text: str, later: int
) -> None:
    alignment, frame = [], 0
    for step, _ in steps:
        frame = max(frame + step - 3, 0)
        alignment.append(frame)
    ends = tuple(i for i, (_, end) in enumerate(steps, start=1) if end or i == len(steps))
    committed = Committed(tuple(alignment), ends, ends[1::3])
    policy = StreamAtt(text=text, keep_words=keep_words, keep_tokens=keep_tokens)
    now = heard(max(alignment, default=0) + later)
    dropped = policy.droppable(now, committed)
    assert dropped.tokens in (0, *ends)
    assert 0 <= dropped.frames <= now.frames
    kept = alignment[dropped.tokens :]
    assert bool(kept) == bool(alignment)  # 30 s hold all of this
    assert dropped.frames == min(kept, default=0)
    words = sum(end > dropped.tokens for end in ends)
    assert words == 1 or len(kept) <= keep_tokens
    if text == "words":
        assert words <= keep_words
