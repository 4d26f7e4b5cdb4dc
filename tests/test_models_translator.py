"""What the translator makes of frames does not depend on where chunks and segments end."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamst.errors import ConfigError
from streamst.models.heads import DraftConfig, Heads, HeadsConfig
from streamst.models.listen.transducer import TransducerConfig
from streamst.models.seam import Hear
from streamst.models.translator import SpeechTranslator
from streamst.models.write.network import Writer

CHUNK_MS = 2560


@pytest.fixture(scope="module")
def headed(tiny_translator: SpeechTranslator) -> SpeechTranslator:
    """The random translator with a draft and a transducer."""
    plain = tiny_translator
    torch.manual_seed(3)
    labels = plain.target_tokenizer.size
    config = HeadsConfig(draft=DraftConfig(labels, 16), transducer=TransducerConfig(labels, 16, dim=8, joiner=8))
    heads = Heads(config)
    assert heads.draft is not None
    with torch.no_grad():
        heads.draft.weight.mul_(6)
    return SpeechTranslator(
        replace(plain.config, heads=config), plain.listener, plain.writer, plain.source_tokenizer,
        plain.target_tokenizer, heads,
    )  # fmt: skip


def test_a_writer_that_lacks_the_prompt_of_a_target_is_refused(tiny_translator: SpeechTranslator) -> None:
    plain = tiny_translator
    writer = Writer(replace(plain.config.writer, prompts=("asr:en",)))
    with pytest.raises(ConfigError, match="does not know the prompt 'st:de'; allowed: asr:en"):
        SpeechTranslator(
            replace(plain.config, writer=writer.config), plain.listener, writer, plain.source_tokenizer,
            plain.target_tokenizer,
        )  # fmt: skip


def babble(seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(int(16_000 * seconds))).astype(np.float32)


def test_the_heads_keep_all_of_the_chunk_in_which_the_first_word_is_heard(headed: SpeechTranslator) -> None:
    pcm = babble(CHUNK_MS / 1000)
    (state,) = headed.recogniser.hear_all([Hear(pcm, headed.recogniser.init_state())])
    assert state.words
    with torch.inference_mode():
        frames, _ = headed.listener.step(torch.from_numpy(pcm)[None], headed.listener.init_state(1))
        best = headed.heads.draft(frames[0]).argmax(-1)  # type: ignore[misc]
    collapsed = [label for label in torch.unique_consecutive(best).tolist() if label]
    assert len(collapsed) > 4
    assert state.heads.draft == tuple(collapsed)
    assert torch.allclose(state.heads.states, frames[0], atol=1e-5)


def test_a_token_that_goes_on_after_its_segment_is_heard_once(tiny_translator: SpeechTranslator) -> None:
    ear = tiny_translator.recogniser
    whole = cut = ear.init_state()
    heard: list[int] = []
    for piece in np.split(babble(3.2), 20):
        whole, cut = ear.hear_all([Hear(piece, whole), Hear(piece, cut)])
        heard += [token.token for token in cut.tokens]
        cut = ear.forget(cut, len(cut.words), cut.frames)
    assert heard == [token.token for token in whole.tokens]
