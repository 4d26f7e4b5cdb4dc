"""The voice's network: exact streaming, one word of lookahead, independent rows, durations."""

from __future__ import annotations

import pytest
import torch

from streamst.languages.german.spoken import spoken_german
from streamst.languages.german.symbols import encode
from streamst.models.speak.aligner import Aligner, AlignerConfig, best_path, beta_binomial_prior, forward_sum
from streamst.models.speak.network import Pace, TtsConfig, TtsNetwork, batch_of, beside, lay_out, whole_frames

SMALL = TtsConfig(text_dim=24, word_blocks=2, phrase_blocks=2, frame_dim=32, frame_blocks=3, outputs=8)
SENTENCES = [
    "Sie ist nach der Kreisstadt Weißenburg, des Landkreises, benannt.",
    "Ja!",
    "Wer kommt a b c?",
    "Donaudampfschifffahrtsgesellschaftskapitän und Hund",
    "Am 3. Mai 1984 um 14:30 Uhr.",
    "Es regnet heute nicht",
    "Er ging. Sie blieb.",
    "Nein, o nein, niemals",
]


def network(seed: int = 0) -> TtsNetwork:
    torch.manual_seed(seed)
    made = TtsNetwork(SMALL).eval()
    with torch.no_grad():  # durations of several frames, so that there is something to compare
        last = made.text.prosody[2]
        assert isinstance(last, torch.nn.Linear)
        last.weight.mul_(3)
        last.bias[0] = 1.2
    return made


def symbols(text: str) -> list[list[int]]:
    return [encode(word, index == 0) for index, word in enumerate(spoken_german(text))]


@pytest.mark.parametrize("text", SENTENCES)
@torch.inference_mode()
def test_words_one_by_one_equal_the_whole_sentence(text: str) -> None:
    tts, words = network(), symbols(text)
    whole, end = tts.plan(words, [], tts.text.init_state(1))
    offline = tts.frames(whole)
    state, frames, pieces = tts.text.init_state(1), tts.frames.init_state(1), []
    for index, word in enumerate(words):
        ahead = words[index + 1] if index + 1 < len(words) else []
        planned, state = tts.plan([word], ahead, state)
        latents, frames = tts.frames.step(planned, frames)
        pieces.append(latents)
    streamed = torch.cat(pieces, 1)
    assert streamed.shape == offline.shape
    assert streamed.shape[1] > 3
    torch.testing.assert_close(streamed, offline, atol=1e-4, rtol=0)
    torch.testing.assert_close(state.context, end.context, atol=1e-5, rtol=0)
    torch.testing.assert_close(state.tail, end.tail, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_word_sees_one_word_ahead_and_no_more() -> None:
    tts, words = network(), symbols(SENTENCES[0])
    before = tts.text.step(batch_of([words], len(words) + 1), tts.text.init_state(1))[0]
    changed = [*words[:5], encode("xylophon"), *words[6:]]
    after = tts.text.step(batch_of([changed], len(words) + 1), tts.text.init_state(1))[0]
    moved = [float((before[0, w, : len(words[w])] - after[0, w, : len(words[w])]).abs().max()) for w in range(5)]
    assert moved[:4] == pytest.approx([0, 0, 0, 0], abs=1e-5)
    assert moved[4] > 1e-3


@torch.inference_mode()
def test_an_open_phrase_sounds_unlike_one_that_goes_on() -> None:
    tts = network()
    start = tts.text.init_state(1)
    alone = tts.text.step(batch_of([[encode("haus", True)]], 2), start)[0]
    followed = tts.text.step(batch_of([[encode("haus", True), encode("und")]], 2), start)[0]
    assert (alone - followed).abs().max() > 1e-3


@torch.inference_mode()
def test_eight_phrases_at_once_equal_eight_alone() -> None:
    tts = network()
    rows = [symbols(text) for text in SENTENCES]
    letters = batch_of(rows, max(map(len, rows)) + 1)
    together, prosody, state = tts.text.step(letters, tts.text.init_state(8))
    planned = []
    for index, row in enumerate(rows):
        alone, figures, end = tts.text.step(batch_of([row], len(row) + 1), tts.text.init_state(1))
        for place, word in enumerate(row):
            torch.testing.assert_close(
                together[index, place, : len(word)], alone[0, place, : len(word)], atol=1e-5, rtol=0
            )
            torch.testing.assert_close(
                prosody[index, place, : len(word)], figures[0, place, : len(word)], atol=1e-5, rtol=0
            )
        torch.testing.assert_close(state.select([index]).context, end.context, atol=1e-5, rtol=0)
        planned.append(tts.plan(row, [], tts.text.init_state(1))[0][0])
    shortest = min(map(len, planned))
    batch = torch.stack([frames[:shortest] for frames in planned])
    decoded, _ = tts.frames.step(batch, tts.frames.init_state(8))
    for index in range(8):
        single, _ = tts.frames.step(batch[index : index + 1], tts.frames.init_state(1))
        torch.testing.assert_close(decoded[index : index + 1], single, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_two_interleaved_phrases_equal_two_separate_ones_and_a_reset_row_is_fresh() -> None:
    tts = network()
    first, second = symbols(SENTENCES[0]), symbols(SENTENCES[3])
    state = tts.text.init_state(2)
    _, _, state = tts.text.step(batch_of([first[:2], second[:1]], 3), state)
    assert all(bool((t == 0).all()) for t in state.reset([0, 1]).tensors())
    one, two = state.select([0]), state.select([1])
    _, _, alone = tts.text.step(batch_of([first[:2]], 3), tts.text.init_state(1))
    torch.testing.assert_close(one.context, alone.context, atol=1e-5, rtol=0)
    swapped = state.assign([0, 1], state.select([1, 0]))
    torch.testing.assert_close(swapped.select([0]).tail, two.tail)


def test_durations_add_up_at_any_rate() -> None:
    log_frames = torch.log(torch.tensor([1.2, 0.4, 3.3, 2.5, 0.3, 0.9, 7.7]))
    assert whole_frames(log_frames, Pace(), 60).tolist() == [1, 1, 3, 2, 1, 1, 7]
    for rate in (0.8, 1.0, 1.25):
        assert abs(int(whole_frames(log_frames, Pace(rate), 60).sum()) - 16.3 / rate) <= 0.5
    assert int(whole_frames(torch.tensor([50.0]), Pace(), 60)) == 60


def test_frames_carry_their_symbol_and_their_place_in_it() -> None:
    encodings = torch.tensor([[1.0], [2.0], [3.0]])
    figures = beside(torch.tensor([[[10.0, 0.0], [20.0, 0.0], [30.0, 0.0]]]), torch.tensor([3]))[0]
    frames = lay_out(encodings, figures, torch.tensor([2, 0, 1]))
    assert frames[:, 0].tolist() == [1, 1, 3]
    assert frames[:, 1].tolist() == [10, 10, 30]
    assert frames[:, 3].tolist() == [20, 20, 30]  # the next symbol's pitch; the last symbol has its own
    assert frames[:, 5].tolist() == [0.25, 0.75, 0.5]


def test_the_forward_sum_is_the_sum_over_all_paths() -> None:
    torch.manual_seed(1)
    scores = torch.log_softmax(torch.randn(2, 6, 4), -1)

    def every_path(row: torch.Tensor, frames: int, letters: int) -> float:
        def walk(t: int, letter: int) -> list[float]:
            if t == frames:
                return [0.0] if letter == letters - 1 else []
            found = []
            for now in (letter, letter + 1) if t else (0,):
                if now < letters:
                    found += [float(row[t, now]) + rest for rest in walk(t + 1, now)]
            return found

        return -float(torch.logsumexp(torch.tensor(walk(0, 0)), 0))

    expected = [every_path(scores[0], 6, 4), every_path(scores[1], 5, 3)]
    assert forward_sum(scores, [6, 5], [4, 3]).tolist() == pytest.approx(expected, abs=1e-4)


def test_the_best_path_is_the_best_of_all() -> None:
    torch.manual_seed(2)
    scores = torch.randn(7, 3).numpy()
    durations = best_path(scores)
    assert durations.sum() == 7
    assert durations.min() >= 1

    def value(first: int, second: int) -> float:
        return float(scores[:first, 0].sum() + scores[first:second, 1].sum() + scores[second:, 2].sum())

    brute = max(((a, b) for a in range(1, 6) for b in range(a + 1, 7)), key=lambda ends: value(*ends))
    assert durations.cumsum().tolist()[:2] == list(brute)
    with pytest.raises(ValueError, match="3 letters do not fit into 2 frames"):
        best_path(scores[:2])


def test_the_prior_is_a_distribution_along_the_diagonal() -> None:
    prior = beta_binomial_prior(5, 20).exp()
    torch.testing.assert_close(prior.sum(1), torch.ones(20), atol=1e-4, rtol=0)
    assert (torch.diff(prior.argmax(1)) >= 0).all()
    assert int(prior[0].argmax()) == 0
    assert int(prior[-1].argmax()) == 4


@torch.inference_mode()
def test_the_aligner_ignores_padding() -> None:
    torch.manual_seed(3)
    aligner = Aligner(AlignerConfig(width=16)).eval()
    letters, mel = torch.randint(1, 30, (1, 6)), torch.randn(1, 12, 80)
    alone = aligner(letters, mel)
    padded = aligner(torch.nn.functional.pad(letters, (0, 4)), mel)
    torch.testing.assert_close(alone, padded[..., :6], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone.exp().sum(-1), torch.ones(1, 12))


def test_shorter_pauses_shorten_only_the_silence_after_a_word() -> None:
    log_frames = torch.tensor([4.0, 6.0, 10.0]).log()
    assert whole_frames(log_frames, Pace(pauses=0.5), 60).tolist() == [4, 6, 5]
    assert whole_frames(log_frames, Pace(2.0, 0.2), 60).tolist() == [2, 3, 1]
