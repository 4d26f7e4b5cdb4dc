"""The recipe of kind "words" learns a lexicon and a language model from texts."""

from pathlib import Path

import numpy as np

from streamst.models.listen.search import SearchConfig, WordSearch
from streamst.train import recipe
from streamst.train.speech import PHONEMES
from streamst.train.words import pronunciations

PAIRS = "The cat sleeps.\tDie Katze schläft.\nThe cat eats xqz.\tDie Katze frisst xqz.\nTom reads.\tTom liest.\n"


def test_words_of_the_texts_are_found_in_their_phonemes(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text(PAIRS, encoding="utf-8")
    (tmp_path / "words.toml").write_text(
        f'kind = "words"\noutput = "{tmp_path}/run"\npairs = ["{tmp_path}/pairs.tsv"]\n'
        f'development = "{tmp_path}/pairs.tsv"\ngeneral = 50\nkeep = 1\n',
        encoding="utf-8",
    )
    figures = recipe.run(tmp_path / "words.toml")
    assert figures["unknown words [%]"] == 0
    assert 1 < figures["perplexity"] < 10
    search = WordSearch.load(tmp_path / "run/words.npz", SearchConfig())
    assert {"cat", "xqz", "all"} <= set(search.lexicon.words)
    spoken = ["dh", "ax", "k", "ae", "t", "s", "l", "iy", "p", "s"]
    rows = np.full((2 * len(spoken), len(PHONEMES)), -15.0, np.float32)
    for i, phoneme in enumerate(spoken):
        rows[2 * i, PHONEMES.index(phoneme)] = -0.01
        rows[2 * i + 1, 0] = -0.01
    found = search.decide(search.step(rows, search.init_state()))
    assert [search.lexicon.words[word.number] for word in found.certain] == ["the", "cat", "sleeps"]


def test_the_dictionary_is_in_the_listeners_phonemes() -> None:
    said = pronunciations()
    assert [PHONEMES[p] for p in said["tomorrow"][0]] == ["t", "ax", "m", "aa", "r", "ow"]
    assert len(said["the"]) >= 2
