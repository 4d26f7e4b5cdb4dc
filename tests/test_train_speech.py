"""Speech batches: labels where the sound is, the same batches after a restart, and nothing of a test sentence."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streamst.audio import read_audio
from streamst.errors import ConfigError, InputError, UnavailableError
from streamst.models.listen.conformer import ConformerConfig
from streamst.models.listen.listener import Listener, ListenerConfig
from streamst.text import Tokenizer, train_tokenizer
from streamst.train import prepare
from streamst.train.augment import AugmentConfig, Augmenter, tune
from streamst.train.cuts import ShardWriter, Utterance, merge_manifests
from streamst.train.human import load
from streamst.train.listener import ListenerLossConfig, ListenerTask, ValidationConfig
from streamst.train.manifest import read_manifest
from streamst.train.speech import PHONEMES, SpeechBatches, SpeechDataConfig
from streamst.train.synthesis import Take, plan, read_pairs, speak, spoken_set

pytestmark = pytest.mark.filterwarnings("ignore:.*DynamicBucketingSampler.*:UserWarning")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train_tokenizer(
        ["one two three four five six", "seven eight nine ten"] * 2, 36, tmp_path_factory.mktemp("t") / "t.model"
    )


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Thirty utterances: silence, then a tone that is labelled "aa" from 0.5 s on."""
    folder = tmp_path_factory.mktemp("cuts")
    rng = np.random.default_rng(0)
    with ShardWriter(folder / "shard") as writer:
        for number in range(30):
            seconds = float(rng.uniform(1.0, 3.0))
            audio = np.sin(np.arange(int(seconds * 16_000)) * 0.2).astype(np.float32) * 0.3
            audio[:8_000] = 0
            marks = [("pau", 0.5), ("aa", seconds)]
            writer.write(audio, Utterance(f"u{number}", "one two", "tone", "eins zwei", ["aa"], marks))
    return str(merge_manifests([folder / "shard"], folder / "cuts.jsonl.gz"))


def config(cuts: str, **changes: object) -> SpeechDataConfig:
    plain = AugmentConfig(speed=0, noise=0, reverb=0, telephone=0, gain_db=(0, 0))
    values = {
        "cuts": (cuts,),
        "batch_s": 12.0,
        "buckets": 2,
        "concatenate": 0.0,
        "empty": 0.0,
        "augment": plain,
        **changes,
    }
    return SpeechDataConfig(**values)  # type: ignore[arg-type]


def test_frame_labels_follow_the_sound(cuts: str, tokenizer: Tokenizer) -> None:
    batch = next(SpeechBatches(config(cuts), tokenizer, 1, 640).batches(0))
    loud = batch.pcm.unflatten(1, (-1, 640)).abs().amax(-1) > 0.1
    aa, pause = PHONEMES.index("aa"), PHONEMES.index("pau")
    known = batch.frame_phones >= 0
    assert set(batch.frame_phones[known].tolist()) == {aa, pause}
    assert ((batch.frame_phones == aa) == loud)[known].float().mean() > 0.95
    assert batch.token_counts.sum() == len(batch.tokens)
    assert batch.texts == ["one two"] * len(batch.texts)


def test_batches_after_a_restart_are_those_of_the_uninterrupted_run(cuts: str, tokenizer: Tokenizer) -> None:
    settings = config(cuts, empty=0.5, easy_steps=3, easy_longest_s=2.0, augment=AugmentConfig())
    whole = list(itertools.islice(SpeechBatches(settings, tokenizer, 1, 640).batches(0), 9))
    rest = list(itertools.islice(SpeechBatches(settings, tokenizer, 1, 640).batches(5), 4))
    for expected, found in zip(whole[5:], rest, strict=True):
        assert torch.equal(expected.pcm, found.pcm)
        assert torch.equal(expected.tokens, found.tokens)
    assert max(batch.samples.max() for batch in whole[:3]) <= 16_000 * (2.0 * 1.17 + 0.9)


def test_joined_utterances_have_joined_texts(cuts: str, tokenizer: Tokenizer) -> None:
    batch = next(SpeechBatches(config(cuts, concatenate=1.0), tokenizer, 1, 640).batches(0))
    assert "one two one two" in batch.texts[0]
    assert batch.translations[0].startswith("eins zwei eins zwei")
    assert batch.phone_counts[0] >= 2


@pytest.mark.parametrize("buckets", [1, 31, 40])
def test_few_utterances_need_no_fewer_buckets(cuts: str, tokenizer: Tokenizer, buckets: int) -> None:
    batches = SpeechBatches(config(cuts, buckets=buckets), tokenizer, 1, 640).batches(0)
    assert sum(len(batch.texts) for batch in itertools.islice(batches, 4)) >= 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cuts": ("no.jsonl.gz",)}, "data.cuts: no.jsonl.gz does not exist"),
        ({"longest_s": 0.5}, r"data.cuts holds no utterance of 0.3 to 0.5 s"),
        ({"easy_steps": 3, "easy_longest_s": 0.5}, r"data.cuts holds no utterance of up to 0.5 s"),
        ({"noises": "nowhere"}, r"data.noises: nowhere has no \*\*/\*\.ogg"),
        ({"responses": "nowhere"}, r"data.responses: nowhere has no \*\.flac"),
    ],
)
def test_data_that_give_no_batch_are_refused_with_the_reason(
    cuts: str, tokenizer: Tokenizer, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SpeechBatches(replace(config(cuts), **changes), tokenizer, 1, 640)  # type: ignore[arg-type]


def test_a_recording_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"recording .*no\.flac cannot be read"):
        load(tmp_path / "no.flac")


def test_companions_that_decay_over_no_steps_are_at_their_floor(cuts: str, tokenizer: Tokenizer) -> None:
    encoder = ConformerConfig(dim=16, layers=1, heads=2, kernel=3, middle=1, dropout=0.0)
    torch.manual_seed(0)
    listener = Listener(ListenerConfig(encoder=encoder, source_tokens=tokenizer.size, phonemes=len(PHONEMES)))
    losses = []
    for steps in (0, 1, 10):
        weights = ListenerLossConfig(companion_steps=steps, companion_floor=0.5)
        task = ListenerTask(listener, tokenizer, config(cuts), weights, ValidationConfig(), 1)
        losses.append(task.loss(next(task.batches(0)), 10)[0].item())
    assert losses[0] == losses[1] == losses[2]


def test_recordings_without_a_training_split_are_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("path\ttext\na.wav\tOne two.\n")
    with pytest.raises(InputError, match=r"manifest\.tsv: no recording has 'train' in the column `split`"):
        prepare.run({"kind": "data", "output": str(tmp_path / "data"), "human": [str(tmp_path)]})


def test_noise_comes_without_text(cuts: str, tokenizer: Tokenizer) -> None:
    batch = next(SpeechBatches(config(cuts, empty=1.0), tokenizer, 1, 640).batches(0))
    assert batch.texts[-1] == ""
    assert batch.token_counts[-1] == 0
    assert batch.pcm[-1].abs().max() > 0


def test_noise_is_added_at_the_drawn_ratio() -> None:
    quiet = AugmentConfig(noise=1.0, snr_db=(10.0, 10.0), reverb=0, telephone=0, gain_db=(0, 0))
    augmenter = Augmenter(quiet, [], [])
    augmenter._noises = [np.random.default_rng(1).standard_normal(16_000).astype(np.float32) * 0.01]
    speech = np.sin(np.arange(32_000) * 0.1).astype(np.float32) * 0.3
    noise = augmenter.wave(speech, np.random.default_rng(2)) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("samples", [1, 800, 48_000])
def test_made_up_music_has_tones_that_stand_out_and_any_length(samples: int) -> None:
    tunes = [tune(samples, np.random.default_rng(seed)) for seed in range(12)]
    assert all(pcm.shape == (samples,) and np.isfinite(pcm).all() for pcm in tunes)
    if samples == 48_000:
        assert all(np.sqrt(np.mean(pcm**2)) == pytest.approx(0.1, rel=0.01) for pcm in tunes)
        power = [np.square(np.abs(np.fft.rfft(pcm))) for pcm in tunes]
        flatness = [np.exp(np.log(p + 1e-9).mean()) / p.mean() for p in power]  # 0.56 for white noise
        assert max(flatness) < 0.3


def test_no_excluded_sentence_gets_a_voice_however_it_is_written() -> None:
    pairs = [
        ("Hello, Tom!", "Hallo, Tom!"),
        ("hello tom", "Hallo Tom"),
        ("Good night.", "Gute Nacht."),
        ("Go on.", "Weiter."),
    ]
    takes = plan(pairs, 10, 0.5, ["HELLO TOM."], seed=1)
    assert sorted(take.text for take in takes) == ["Go on.", "Good night."]
    assert takes == plan(pairs, 10, 0.5, ["HELLO TOM."], seed=1)


def test_a_line_without_a_translation_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("Hi.\tHallo!\nalone\n")
    with pytest.raises(InputError, match=r"p\.tsv:2: expected English TAB German, found 'alone'"):
        read_pairs(tmp_path / "p.tsv")


def test_a_manifest_without_its_columns_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text("file\twords\na\tb\n")
    with pytest.raises(InputError, match=r"m\.tsv: expected a tab-separated header with at least path and text"):
        read_manifest(tmp_path / "m.tsv")
    with pytest.raises(InputError, match=r"none\.tsv does not exist"):
        read_manifest(tmp_path / "none.tsv")


def test_speech_through_the_codec_keeps_its_time_and_length() -> None:
    calm = AugmentConfig(speed=0, noise=0, reverb=0, telephone=0, codec=1, gain_db=(0, 0))
    speech = read_audio(Path(__file__).parent / "data" / "station.flac")[:40_001]
    coded = Augmenter(calm, [], []).wave(speech, np.random.default_rng(0))
    assert coded.shape == speech.shape
    assert np.abs(coded - speech).max() > 0.01

    def loudness(pcm: np.ndarray) -> np.ndarray:
        return np.log(np.square(pcm[:40_000]).reshape(-1, 320).mean(1) + 1e-6)

    there, heard = loudness(speech), loudness(coded)
    match = {shift: np.corrcoef(np.roll(there, shift), heard)[0, 1] for shift in range(-5, 6)}
    assert max(match, key=match.__getitem__) == 0
    assert match[0] > 0.9


def test_the_shipped_test_set_has_two_hundred_sentences_of_one_german_each() -> None:
    pairs = read_pairs(prepare.SHIPPED / "testset.tsv")
    assert len(dict(pairs)) == len(pairs) == 200
    assert all(english and german for english, german in pairs)


@pytest.mark.skipif(shutil.which("text2wave") is None, reason="festival is not installed")
def test_a_voice_that_festival_lacks_is_named_with_the_package_that_has_one() -> None:
    with pytest.raises(UnavailableError, match=r"festival has no voice 'nobody': apt-get install festvox"):
        speak(Take("nobody-1", "Good morning.", "Guten Morgen.", "festival", "nobody"))


FESTIVAL = Path("/usr/share/festival/voices/us/cmu_us_slt_arctic_hts")


@pytest.mark.skipif(not FESTIVAL.is_dir(), reason="festival's voice festvox-us-slt-hts is not installed")
def test_the_test_set_is_spoken_by_festival_and_its_manifest_says_how_long_each_sentence_is(tmp_path: Path) -> None:
    pairs = read_pairs(prepare.SHIPPED / "testset.tsv")[:2]
    manifest = spoken_set(pairs, tmp_path, workers=1)
    head, *rows = (line.split("\t") for line in manifest.read_text(encoding="utf-8").splitlines())
    assert [(row[head.index("text")], row[head.index("translation")]) for row in rows] == list(pairs)
    for row in rows:
        pcm = read_audio(manifest.parent / row[head.index("path")])
        assert abs(pcm).max() > 0.05
        assert len(pcm) / 16_000 == pytest.approx(float(row[head.index("duration_s")]), abs=0.01)
