"""Policies by name, their parameters, and the latency dial."""

from dataclasses import FrozenInstanceError

import pytest

from streamst.errors import InputError
from streamst.policies.catalog import (
    LADDERS,
    LATENCIES,
    LATENCY_NAMES,
    POLICIES,
    Setting,
    Value,
    latency_setting,
    make_policy,
    parse_policy,
    parse_setting,
)
from streamst.policies.knobs import knobs_of
from streamst.policies.local_agreement import LocalAgreement
from streamst.policies.wait_k import WaitK


def test_the_names_are_those_of_the_command_line_contract() -> None:
    contract = (
        "wait-k local-agreement hold-n edatt alignatt streamatt ctc-guided transducer taed confidence consensus "
        "monotonic retranslate"
    )
    assert list(POLICIES) == contract.split()
    assert list(LADDERS) == contract.split()


def test_a_policy_is_made_by_name_with_its_parameters_and_cannot_be_changed() -> None:
    policy = make_policy("wait-k", k=5, boundaries="fixed")
    assert policy == WaitK(k=5, boundaries="fixed")
    with pytest.raises(FrozenInstanceError):
        policy.k = 7  # type: ignore[attr-defined]


def test_a_whole_number_is_taken_where_any_number_is_meant() -> None:
    assert make_policy("edatt", alpha=1) == make_policy("edatt", alpha=1.0)


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("wait", {}, ["'wait'", "wait-k, local-agreement, hold-n", "retranslate"]),
        ("", {}, ["''", "wait-k"]),
        ("wait-k", {"lag": 3}, ["'lag'", "k (whole number 1 to 1000)", "boundaries (ctc or fixed)"]),
        ("wait-k", {"k": 0}, ["k = 0", "whole number 1 to 1000"]),
        ("wait-k", {"k": 2.0}, ["k = 2.0", "whole number"]),
        ("wait-k", {"k": True}, ["k = True"]),
        ("wait-k", {"boundaries": "words"}, ["'words'", "ctc or fixed"]),
        ("edatt", {"alpha": 1.5}, ["alpha = 1.5", "0 to 1"]),
        ("edatt", {"alpha": float("nan")}, ["alpha = nan", "0 to 1"]),
        ("confidence", {"tau": -0.1}, ["tau = -0.1", "0 to 1"]),
        ("confidence", {"tau": "high"}, ["tau = 'high'"]),
        ("local-agreement", {"n": 1}, ["n = 1", "2 to 100"]),
        ("retranslate", {"draft": 1}, ["draft = 1", "true or false"]),
    ],
)
def test_what_is_not_allowed_is_named_together_with_what_is(
    name: str, params: dict[str, Value], words: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        make_policy(name, **params)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", POLICIES)
def test_both_ends_of_every_range_are_allowed_and_beyond_them_is_not(name: str) -> None:
    for knob in knobs_of(POLICIES[name]):
        if knob.choices:
            assert all(make_policy(name, **{knob.name: choice}) for choice in knob.choices)
        elif not isinstance(knob.default, bool):
            kind = float if isinstance(knob.default, float) else int
            assert make_policy(name, **{knob.name: kind(knob.low)}) != make_policy(name, **{knob.name: kind(knob.high)})
            for beyond in (kind(knob.low) - 1, kind(knob.high) + 1):
                with pytest.raises(InputError, match=knob.name):
                    make_policy(name, **{knob.name: beyond})


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("local-agreement", LocalAgreement()),
        ("wait-k:k=5", WaitK(k=5)),
        (" wait-k : k = 5 , boundaries = fixed ,", WaitK(k=5, boundaries="fixed")),
        ("wait-k:ratio=1.5", WaitK(ratio=1.5)),
        ("retranslate:draft=true", make_policy("retranslate", draft=True)),
    ],
)
def test_a_policy_is_read_from_one_word_of_a_command_line(text: str, policy: object) -> None:
    assert parse_policy(text) == policy
    setting = parse_setting(text, 640)
    assert (setting.chunk_ms, setting.make()) == (640, policy)


@pytest.mark.parametrize(
    "text", ["wait-k:k", "wait-k:k=", "wait-k:k=3,k=4", "wait-k:=3", "wait-k k=3", "wait-k:k=three"]
)
def test_a_word_that_says_no_policy_is_an_input_error(text: str) -> None:
    for parse in (parse_policy, lambda one: parse_setting(one, 320)):
        with pytest.raises(InputError, match="wait-k"):
            parse(text)


def test_every_position_of_the_dial_makes_a_policy() -> None:
    for setting in LATENCIES.values():
        assert setting.make() == make_policy(setting.policy, **setting.params)
        assert setting.chunk_ms % 80 == 0
    for name in POLICIES:
        chunks = [latency_setting("en", "de", latency, name).chunk_ms for latency in LATENCY_NAMES]
        assert chunks == sorted(chunks)
        for latency in LATENCY_NAMES:
            assert isinstance(latency_setting("en", "de", latency, name).make(), POLICIES[name])


def test_a_named_policy_moves_its_main_knob_with_the_dial_unless_it_is_set() -> None:
    assert latency_setting("en", "de", "medium") == LATENCIES["medium"]
    assert latency_setting("en", "de", "high", "wait-k") == Setting("wait-k", 960, {"k": 7})
    assert latency_setting("en", "de", "high", "wait-k:k=2,ratio=1.5") == Setting("wait-k", 960, {"k": 2, "ratio": 1.5})
    assert latency_setting("fr", "xx", "low", "hold-n") == Setting("hold-n", 320, {"n": 4})


def test_a_pair_has_its_models_dial_and_others_have_the_general_one() -> None:
    tuned = {"en-de": {name: Setting("hold-n", 640, {"n": 1}) for name in LATENCY_NAMES}}
    assert latency_setting("en", "de", "low", "", tuned) == Setting("hold-n", 640, {"n": 1})
    assert latency_setting("fr", "xx", "low", "", tuned) == LATENCIES["low"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("en", "de", "lowest"), "minimal, low, medium, high, xhigh"),
        (("en", "de", "low", "greedy"), "wait-k"),
        (("en", "de", "low", "wait-k:n=3"), "boundaries"),
    ],
)
def test_an_unknown_position_or_policy_is_named_with_the_allowed(arguments: tuple[str, ...], words: str) -> None:
    source, target, latency, *policy = arguments
    with pytest.raises(InputError, match=words):
        latency_setting(source, target, latency, "".join(policy))


def test_every_policy_says_when_to_choose_it_and_what_its_parameters_do() -> None:
    assert make_policy("wait-k").needs == {"source-ctc"}
    assert make_policy("ctc-guided").needs == {"source-ctc", "target-ctc"}
    assert len({policy.choose_when for policy in POLICIES.values()}) == len(POLICIES)
    assert all(len(policy.choose_when) > 20 for policy in POLICIES.values())
    assert all(knob.help for policy in POLICIES.values() for knob in knobs_of(policy))
