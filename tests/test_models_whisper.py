"""Whisper as a streaming ear: the networks are Whisper's own, chunk by chunk equals all at once, words stay."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.models.listen.evidence import EvidenceConfig, SpeechEvidence
from streamst.models.seam import Hear
from streamst.models.whisper.decoder import DecoderConfig, WhisperDecoder
from streamst.models.whisper.encoder import FRAME_SAMPLES, EncoderConfig, WhisperEncoder
from streamst.models.whisper.features import WhisperMel
from streamst.models.whisper.guards import Voice, circles, is_said
from streamst.models.whisper.recogniser import Ear, WhisperConfig, WhisperRecogniser
from streamst.models.whisper.vocabulary import Vocabulary, byte_pieces
from streamst.models.whisper.writing import Token, Writing
from streamst.nn.packing import from_bytes, to_bytes
from streamst.nn.state import stacked

TINY = EncoderConfig(dim=32, heads=2, layers=2, left=12, again=0)
TWICE = EncoderConfig(dim=32, heads=2, layers=2, left=12, again=10)
WRITER = DecoderConfig(dim=32, heads=2, layers=2, tokens=24, places=64, alignment=((1, 0), (1, 1)))
PIECES = [b" a", b" b", b"c", b".", b" dog", b"s", b" ", b"e", b" the", b"ing", b" go", b" went", b" on", b"ly", b",",
          b" x", b" y", b" z", b"!", b"?", b" end", b" of"]  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    torch.manual_seed(1)
    return WhisperEncoder(TINY).eval()


@pytest.fixture(scope="module")
def ear() -> WhisperRecogniser:
    torch.manual_seed(2)
    config = WhisperConfig(
        encoder=TWICE,
        decoder=WRITER,
        prompt=(22, 23),
        suppressed_first=(6,),
        fill=20,
        most_per_s=4.0,
        unlikely=-100.0,
        unlikely_at_once=-100.0,
        weak=-100.0,
        looped=-100.0,
    )
    ear = WhisperRecogniser(config, Vocabulary(PIECES)).eval()
    ear.decoder.tokens.weight.data.mul_(3)
    return ear


def speech(seconds: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(int(seconds * 16_000), generator=torch.Generator().manual_seed(seed))
    swing = torch.sin(torch.arange(len(noise)) * 2 * torch.pi * 3 / 16_000) ** 2
    return 0.1 * noise * swing


def test_features_are_whispers_of_the_clip_200_samples_later() -> None:
    x = speech(1.0)
    ours = WhisperMel()(x[None])[0]
    spectrum = torch.stft(
        torch.nn.functional.pad(x, (200, 0)), 400, 160, window=torch.hann_window(400), center=True, return_complex=True
    ).abs()
    mel = torch.log10((spectrum.square().T @ WhisperMel()._filters).clamp_min(1e-10))
    loudest = mel.amax(1).cummax(0).values
    wanted = (torch.maximum(mel, loudest[:, None] - 8) + 4) / 4
    torch.testing.assert_close(ours, wanted[1 : len(ours) + 1], atol=1e-4, rtol=1e-4)


@settings(deadline=None, max_examples=15)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_features_do_not_depend_on_how_the_audio_is_cut(sizes: list[int]) -> None:
    mel, x = WhisperMel(), speech(0.9)[None]
    state, found, at = mel.init_state(1), [], 0
    for size in (*sizes, (x.shape[1] // 160) - sum(sizes)):
        y, state = mel.step(x[:, at : at + size * 160], state)
        found.append(y)
        at += size * 160
    torch.testing.assert_close(torch.cat(found, 1), mel(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [8, 16, 32, 64])
def test_chunks_equal_the_masked_utterance_past_the_left_context(encoder: WhisperEncoder, chunk: int) -> None:
    x = torch.stack([speech(4.48, 1), speech(4.48, 2)])
    whole = encoder(encoder.features(x), chunk, TINY.left)
    state, found = encoder.init_state(2), []
    with torch.no_grad():
        for piece in x.split(chunk * FRAME_SAMPLES, 1):
            y, state = encoder.step(piece, state)
            found.append(y)
    torch.testing.assert_close(torch.cat(found, 1), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chunk", [4, 16])
def test_what_is_encoded_once_more_is_as_if_the_audio_ended_with_the_chunk(chunk: int) -> None:
    """With one block, whose keys hang on nothing but their own frames."""
    torch.manual_seed(6)
    encoder = WhisperEncoder(EncoderConfig(dim=32, heads=2, layers=1, left=500, again=10)).eval()
    x = speech(2.56, 9)[None]
    state, frames = encoder.init_state(1), 0
    with torch.no_grad():
        mel = encoder.features(x)
        for piece in x.split(chunk * FRAME_SAMPLES, 1):
            y, state = encoder.step(piece, state)
            known, frames = min(10, frames) + chunk, frames + chunk
            wanted = encoder(mel[:, : 2 * frames])[:, -known:]
            torch.testing.assert_close(y[:, -known:], wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("again", [0, 10])
def test_rows_of_different_age_are_as_alone(again: int) -> None:
    torch.manual_seed(1)
    encoder = WhisperEncoder(EncoderConfig(dim=32, heads=2, layers=2, left=12, again=again)).eval()
    with torch.no_grad():
        _, old = encoder.step(speech(0.64, 3)[None], encoder.init_state(1))
        both = stacked([old, encoder.init_state(1)])
        chunk = torch.stack([speech(0.32, 4), speech(0.32, 5)])
        y, after = encoder.step(chunk, both)
        for row, state in enumerate((old, encoder.init_state(1))):
            alone, _ = encoder.step(chunk[row : row + 1], state)
            known = 16 + min(again, int(state.place))
            torch.testing.assert_close(y[row : row + 1, -known:], alone[:, -known:], atol=1e-5, rtol=1e-5)
    assert after.place.tolist() == [48, 16]


def test_a_place_beyond_the_last_is_refused(encoder: WhisperEncoder) -> None:
    state = encoder.init_state(1)
    late = type(state)(**{**vars(state), "place": torch.tensor([1495])})
    with pytest.raises(ValueError, match="frame 1510 has no place; 1500 are known"):
        encoder.step(speech(0.32)[None], late)


def test_the_decoder_step_by_step_and_in_a_batch_equals_one_reading() -> None:
    torch.manual_seed(3)
    decoder = WhisperDecoder(WRITER).eval()
    memory = [decoder.heard(torch.randn(1, size, 32))[0] for size in (9, 6)]
    rows = [[1, 2, 3, 4], [5, 6]]
    said = nothing = decoder.nothing_said()
    with torch.no_grad():
        y, _, weights = decoder.step(rows, [nothing, nothing], memory)
        for row, tokens in enumerate(rows):
            said = nothing
            for place, piece in enumerate(([tokens[0]], tokens[1:])):
                alone, (said,), looked = decoder.step([piece], [said], [memory[row]])
                span = slice(1, None) if place else slice(0, 1)
                torch.testing.assert_close(y[row][span], alone[0], atol=1e-5, rtol=1e-5)
                torch.testing.assert_close(weights[row][span], looked[0], atol=1e-5, rtol=1e-5)
        assert said.first(1).count == 1


def heard(ear: WhisperRecogniser, pcm: torch.Tensor, chunk: int) -> list[tuple[list[str], int]]:
    state, found = ear.init_state(), []
    pieces = pcm.split(chunk)
    for number, piece in enumerate(pieces, 1):
        (state,) = ear.hear_all([Hear(piece.numpy(), state, number == len(pieces))])
        listening = ear.listening(state)
        found.append(([word.text for word in listening.words], listening.certain))
    return found


@pytest.mark.parametrize("chunk_ms", [160, 320, 640])
def test_certain_words_never_change_far_past_the_memory(ear: WhisperRecogniser, chunk_ms: int) -> None:
    shown: list[str] = []
    found = heard(ear, speech(40.0, 7), chunk_ms * 16)
    for words, certain in found:
        assert words[: len(shown)] == shown
        shown = words[:certain]
    assert shown == found[-1][0]
    assert len(shown) > 4


@pytest.mark.parametrize("quick", [False, True])
def test_speakers_together_hear_what_each_hears_alone(ear: WhisperRecogniser, quick: bool) -> None:
    if quick:
        ear = copy.deepcopy(ear)
        ear.quicken()
    talks = [speech(3.2, seed) for seed in (11, 12, 13)]
    states = [ear.init_state() for _ in talks]
    for at in range(0, 51_200, 5120):
        last = at + 5120 == 51_200
        states = ear.hear_all([Hear(t[at : at + 5120].numpy(), s, last) for t, s in zip(talks, states, strict=True)])
    for talk, state in zip(talks, states, strict=True):
        assert [w.text for w in ear.listening(state).words] == heard(ear, talk, 5120)[-1][0]


def test_times_grow_and_never_overlap(ear: WhisperRecogniser) -> None:
    state = ear.init_state()
    for piece in speech(20.0, 5).split(5120):
        (state,) = ear.hear_all([Hear(piece.numpy(), state)])
    listening = ear.listening(state)
    for before, after in zip(listening.words, listening.words[1:], strict=False):
        assert before.first_frame <= before.last_frame < after.first_frame
    assert listening.words[-1].last_frame < listening.frames == 1000


def test_digital_silence_is_never_decoded(ear: WhisperRecogniser) -> None:
    assert heard(ear, torch.zeros(16_000 * 60), 10_240)[-1] == ([], 0)


def test_a_word_is_certain_when_it_is_likely_or_written_twice_far_from_the_end_and_another_follows(
    ear: WhisperRecogniser,
) -> None:
    state = replace(ear.init_state(), states=torch.zeros(100, 32))

    def certain(*tokens: Token, final: bool = False) -> int:
        return len(ear._settle(state, tokens, final).certain)

    dog, doubted, agreed, late = Token(4, 50, -0.1), Token(4, 50, -0.5), Token(4, 50, -0.5, 2), Token(4, 95, -0.1)
    piece, go = Token(5, 55, -0.1), Token(10, 60, -0.1)
    state = replace(state, frames=100, sound=99)
    assert [certain(*said) for said in ([dog], [dog, go], [dog, piece, go], [dog, piece])] == [0, 1, 2, 0]
    assert [certain(first, go) for first in (doubted, agreed, late)] == [0, 1, 0]
    assert certain(dog, Token(5, 55, -0.5), go) == 0  # a word is as certain as its least certain piece
    assert certain(late, final=True) == 1
    state = replace(state, frames=100, sound=99 - ear.config.breath)  # a breath later it need not wait for another
    assert [certain(*said) for said in ([dog], [dog, piece], [doubted], [agreed], [late])] == [1, 2, 0, 1, 0]


def test_a_sentence_has_ended_where_its_mark_is_certain_and_a_word_or_a_breath_follows(ear: WhisperRecogniser) -> None:
    state = replace(ear.init_state(), frames=100, sound=99)
    dog, goes, stop, the = Token(4, 10), Token(10, 20), Token(3, 25), Token(8, 40)

    def sentence(certain: tuple[Token, ...], draft: tuple[Token, ...] = (), silent: int = 0) -> int:
        return ear.listening(replace(state, certain=certain, draft=draft, sound=99 - silent)).sentence

    assert sentence((dog, goes, stop), (the,)) == sentence((dog, goes, stop, the)) == 2
    assert sentence((dog, goes, stop)) == 0
    assert sentence((dog, goes, stop), (), ear.config.breath) == 2
    assert sentence((goes, stop), (the,)) == 0  # a word alone ends with a pause


def test_who_says_the_same_again_and_again_is_not_taken_for_a_loop() -> None:
    said = [(token, 3 * place) for place, token in enumerate([1, 2, 3] * 2)]
    assert circles(said) == 3
    assert circles(said[:-1]) == 0
    assert circles([(token, 2 * frame) for token, frame in said]) == 0
    assert circles([(7, 50), (7, 50), (7, 51)]) == 2
    assert circles([(7, 50), (7, 70), (7, 85)]) == 0


def test_what_is_read_a_second_time_where_it_was_read_is_no_second_time() -> None:
    words = [(5, 10), (6, 20), (7, 30), (8, 38)]
    assert circles([*words, (5, 12), (6, 21), (7, 30), (8, 38)]) == 4  # back at the same sounds
    assert circles([*words, (5, 52), (6, 60), (7, 71), (8, 80)]) == 0  # said twice


@torch.inference_mode()
def test_the_decoder_never_looks_far_back_where_the_same_words_may_stand(ear: WhisperRecogniser) -> None:
    state = ear.encoded(speech(6.4, 7), 10_240)
    certain = (Token(4, 100), Token(10, 280))
    writing = Writing(ear, [replace(state, certain=certain, sound=state.frames)])
    since = writing._since(certain)
    assert since == [0, 0, 100 - ear.config.back, 280 - ear.config.back]
    tokens, nothing = [[*ear.config.prompt, 4, 10]], [ear.decoder.nothing_said()]
    _, _, weights = ear.decoder.step(tokens, nothing, writing.memory, [since])
    assert [int(row.nonzero()[0]) for row in weights[0]] == since
    torch.testing.assert_close(weights[0].sum(1), torch.full((4,), 1.0))
    _, (said,), _ = ear.decoder.step([tokens[0][:3]], nothing, writing.memory, [since[:3]])
    _, _, last = ear.decoder.step([tokens[0][3:]], [said], writing.memory, [since[3:]])
    torch.testing.assert_close(last[0][0], weights[0][3], atol=1e-6, rtol=1e-4)


def test_a_voice_is_told_from_noise_around_a_frame_and_of_few_sounds_nobody_knows() -> None:
    states = torch.zeros(200, 4)
    states[:100, 0], states[100:, 0] = 5.0, -5.0
    evidence = SpeechEvidence(np.array([1, 0, 0, 0], np.float32), 0.0, EvidenceConfig(window=20))
    voice = Voice(evidence, states, torch.ones(200, dtype=torch.bool), 3.0)
    assert [(voice.somebody(at), voice.nobody(at)) for at in (0, 50, 150, 199)] == [
        (True, False), (True, False), (False, True), (False, True),
    ]  # fmt: skip
    silent = Voice(evidence, states, torch.zeros(200, dtype=torch.bool), 3.0)
    unknown = Voice(None, states, torch.ones(200, dtype=torch.bool), 3.0)
    assert not any(one.somebody(150) or one.nobody(150) for one in (silent, unknown))


def test_a_speakers_states_are_the_same_to_the_last_bit_in_any_company(ear: WhisperRecogniser) -> None:
    ear = copy.deepcopy(ear)
    ear.quicken()
    talk, others = speech(1.28, 21).numpy(), [speech(1.28, seed).numpy() for seed in (22, 23)]
    (alone,) = ear.hear_all([Hear(talk[:10_240], ear.init_state())])
    (alone,) = ear.hear_all([Hear(talk[10_240:], alone)])
    (first,) = ear.hear_all([Hear(talk[:10_240], ear.init_state())])
    company = [Hear(other[:10_240], ear.init_state()) for other in others]
    among = ear.hear_all([company[0], Hear(talk[10_240:], first), company[1]])[1]
    assert torch.equal(alone.states, among.states)
    assert ear.listening(alone) == ear.listening(among)
    assert [t.log_prob for t in alone.draft] == [t.log_prob for t in among.draft]


@torch.inference_mode()
def test_how_likely_a_token_is_does_not_depend_on_the_company() -> None:
    torch.manual_seed(5)
    decoder = WhisperDecoder(DecoderConfig(layers=1, tokens=2400, places=8, alignment=((0, 0),))).eval()
    decoder.quicken()
    states, allowed = torch.randn(7, 384), torch.zeros(2400)
    tokens, likely = decoder.best(states, allowed)
    for row in range(len(states)):
        alone = decoder.best(states[row : row + 1], allowed)
        assert torch.equal(alone[0], tokens[row : row + 1])
        assert torch.equal(alone[1], likely[row : row + 1])


@pytest.mark.parametrize("chunks", [3, 31])
@torch.inference_mode()
def test_a_session_that_was_written_down_goes_on_to_the_same_words(ear: WhisperRecogniser, chunks: int) -> None:
    pieces = [piece.numpy() for piece in speech(24.0, 7).split(10_240)]
    kept = ear.init_state()
    for piece in pieces[:chunks]:
        (kept,) = ear.hear_all([Hear(piece, kept)])
    data = to_bytes(kept)
    assert len(data) < 4 * kept.pcm.numel() + 60_000
    back = from_bytes(Ear, data, ear.init_state())
    for piece in pieces[chunks:]:
        kept, back = ear.hear_all([Hear(piece, kept), Hear(piece, back)])
        assert ear.listening(kept) == ear.listening(back)
        assert torch.equal(kept.memory.whole(ear.silent[:, :, :5]), back.memory.whole(ear.silent[:, :, :5]))
    assert ear.listening(kept).words


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ([], True),
        ([(1, -0.9)], True),
        ([(1, -1.1)], False),
        ([(1, -1.1), (2, -0.8)], True),
        ([(1, -1.5), (2, -1.5), (3, -1.5)], True),
        ([(1, -1.9), (2, -2.2), (3, -1.1), (2, -0.3), (3, -0.6), (2, -0.3)], False),
        ([(1, -0.4), (2, -0.9), (3, -0.3), (2, -0.1), (3, -0.1), (2, -0.1)], True),
        ([(1, -1.9), (2, -2.2), (3, -1.1), (2, -0.3), (3, -0.6)], True),
    ],
)
def test_few_tokens_and_loops_are_words_only_where_they_are_likely(said: list[tuple[int, float]], wanted: bool) -> None:
    tokens = [Token(number, 30, likely) for number, likely in said]
    assert is_said(tokens, WhisperConfig()) == wanted


@pytest.mark.parametrize(
    "refused",
    [
        {"unlikely": 0.0, "at_once": 0},
        {"unlikely_at_once": 0.0, "at_once": 10_000},
        {"weak": 0.0, "few": 99, "looped": 0.0},
    ],
)
def test_what_is_unlikely_to_have_been_said_is_not_written(ear: WhisperRecogniser, refused: dict[str, float]) -> None:
    quiet = copy.deepcopy(ear)
    quiet.config = replace(ear.config, **refused)
    assert heard(ear, speech(20.0, 7), 10_240)[-1][0]
    assert heard(quiet, speech(20.0, 7), 10_240)[-1][0] == []


def test_what_is_forgotten_is_not_asked_for_again(ear: WhisperRecogniser) -> None:
    state = ear.init_state()
    for piece in speech(40.0, 7).split(10_240):
        (state,) = ear.hear_all([Hear(piece.numpy(), state)])
    kept = ear.listening(ear.forget(state, 0, state.origin)).words
    assert all(word.first_frame >= state.origin for word in kept)
    assert len(kept) < len(ear.listening(state).words)


def test_pieces_of_text_are_gpt2s_bytes() -> None:
    assert byte_pieces(["Ġcaf", "Ã©", "!"]) == [b" caf", "é".encode(), b"!"]
    assert Vocabulary([b" caf", b"\xc3", b"\xa9"]).text([0, 1, 2]) == " café"
    assert np.array_equal(Vocabulary([b" a", b"b"]).starts_word, [True, False])


def test_forgotten_words_do_not_come_back_wherever_they_were_read(ear: WhisperRecogniser) -> None:
    tokens = (Token(4, 10), Token(10, 40), Token(3, 41))  # the second word is read in the tail of silence
    state = replace(ear.init_state(), frames=30, sound=29, certain=tokens)
    heard = ear.listening(state)
    assert len(heard.words) == 2
    assert ear.listening(ear.forget(state, 1, heard.words[1].first_frame)).words == heard.words[1:]
    assert not ear.listening(ear.forget(state, 2, heard.frames)).words
