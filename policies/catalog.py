"""All policies by name, and the latency dial.

Which to choose:

* `alignatt` where the translator exports alignments: best quality for its delay in most comparisons, one knob in ms.
  `streamatt` is the same decision for talks without end: it also says what of the history may be forgotten.
* `local-agreement` where it gives nothing but text, or quality matters more than a chunk of delay; `consensus` where
  that waits too long; `hold-n` where a second decode comes too late.
* `wait-k` where the delay must be even and predictable; `ctc-guided` where the computer is slow.
* `confidence` with a well calibrated decoder; `edatt` where attention has no clear peaks.
* `transducer`, `taed`, `monotonic` where the network was trained to decide by itself: the last two are the shipped
  model's best.
* `retranslate` for captions only, to readers who accept text that changes.

A model brings its own dial, tuned on a
development set by `tests/benchmarks/dial.py`; `LATENCIES` is for other pairs and parts, from published values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streamst.errors import CheckpointError, InputError

from .alignatt import AlignAtt
from .base import Policy
from .confidence import Confidence
from .consensus import Consensus
from .ctc_guided import CtcGuided
from .edatt import EDAtt
from .hold_n import HoldN
from .knobs import knobs_of
from .local_agreement import LocalAgreement
from .monotonic import Monotonic
from .retranslate import Retranslate
from .streamatt import StreamAtt
from .taed import Taed
from .transducer import Transducer
from .wait_k import WaitK

Value = int | float | str | bool

POLICIES: dict[str, type[Policy]] = {
    "wait-k": WaitK,
    "local-agreement": LocalAgreement,
    "hold-n": HoldN,
    "edatt": EDAtt,
    "alignatt": AlignAtt,
    "streamatt": StreamAtt,
    "ctc-guided": CtcGuided,
    "transducer": Transducer,
    "taed": Taed,
    "confidence": Confidence,
    "consensus": Consensus,
    "monotonic": Monotonic,
    "retranslate": Retranslate,
}


@dataclass(frozen=True)
class Setting:
    """One position of the latency dial."""

    policy: str  # a name in POLICIES
    chunk_ms: int  # audio encoded at once [ms]
    params: Mapping[str, Value] = field(default_factory=dict)

    def make(self) -> Policy:
        """The policy with its parameters."""
        return make_policy(self.policy, **self.params)


Dial = Mapping[str, Mapping[str, Setting]]  # by language pair and position; other pairs have LATENCIES

LATENCIES: Mapping[str, Setting] = {
    "minimal": Setting("wait-k", 320, {"k": 1}),
    "low": Setting("wait-k", 320, {"k": 3}),
    "medium": Setting("local-agreement", 640, {"n": 2}),
    "high": Setting("local-agreement", 960, {"n": 2}),
    "xhigh": Setting("local-agreement", 1280, {"n": 3}),
}
LATENCY_NAMES = tuple(LATENCIES)
EVERY: Dial = {}  # no pair has a dial of its own

# The main knob of each policy at the five positions, for who names a policy and turns the dial: published ranges.
LADDERS: dict[str, tuple[str, tuple[Value, Value, Value, Value, Value]]] = {
    "wait-k": ("k", (1, 3, 5, 7, 9)),
    "local-agreement": ("n", (2, 2, 2, 2, 3)),
    "hold-n": ("n", (2, 4, 6, 8, 12)),
    "edatt": ("alpha", (0.6, 0.4, 0.2, 0.1, 0.03)),
    "alignatt": ("hold_ms", (80, 160, 240, 400, 560)),
    "streamatt": ("hold_ms", (80, 160, 240, 400, 560)),
    "ctc-guided": ("lag", (0, 1, 2, 4, 6)),
    "transducer": ("blank_penalty", (2.0, 1.0, 0.0, 0.0, 0.0)),
    "taed": ("blank_penalty", (2.0, 1.0, 0.0, 0.0, 0.0)),
    "confidence": ("tau", (0.3, 0.5, 0.6, 0.8, 0.9)),
    "consensus": ("gamma", (0.5, 0.6, 0.75, 0.75, 0.9)),
    "monotonic": ("threshold", (0.3, 0.4, 0.5, 0.6, 0.8)),
    "retranslate": ("mask", (0, 1, 3, 5, 8)),
}
LADDER_CHUNKS_MS = (320, 320, 640, 960, 1280)


def make_policy(name: str, **params: Value) -> Policy:
    """The policy `name` with `params` in place of its defaults.

    Raises InputError that names the allowed policies, parameters or values.
    """
    if name not in POLICIES:
        raise InputError(f"unknown policy {name!r}; allowed: {', '.join(POLICIES)}")
    knobs = {one.name: one for one in knobs_of(POLICIES[name])}
    for param in params:
        if param not in knobs:
            allowed = ", ".join(f"{one.name} ({one.allowed})" for one in knobs.values())
            raise InputError(f"policy {name}: unknown parameter {param!r}; allowed: {allowed}")
    return POLICIES[name](**params)  # each class checks its values


def name_of(policy: Policy) -> str:
    """The name of `policy` in POLICIES; its class's where it has none."""
    return next((name for name, cls in POLICIES.items() if cls is type(policy)), type(policy).__name__)


def parse_policy(text: str) -> Policy:
    """A policy from one word, for command lines and sweeps: `wait-k`, `wait-k:k=5,boundaries=fixed`.

    Raises InputError for what `make_policy` refuses and for a parameter without a value.
    """
    name, params = _split(text)
    return make_policy(name, **params)


def parse_setting(text: str, chunk_ms: int) -> Setting:
    """A position of a dial from a policy as `parse_policy` reads it, with the same errors."""
    name, params = _split(text)
    make_policy(name, **params)
    return Setting(name, chunk_ms, params)


def _split(text: str) -> tuple[str, dict[str, Value]]:
    name, _, rest = text.partition(":")
    params: dict[str, Value] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value or key in params:
            raise InputError(f"policy {text!r}: {item!r} is not NAME=VALUE, each name once, as in wait-k:k=3")
        params[key] = _value(value)
    return name.strip(), params


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def read_dial(path: Path) -> Dial:
    """A model's dial: JSON, pair -> position -> {policy, chunk_ms, params}; CheckpointError names what is wrong."""
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"))
        dial = {
            pair: {
                name: Setting(str(one["policy"]), int(one["chunk_ms"]), dict(one["params"]))
                for name, one in positions.items()
            }
            for pair, positions in pairs.items()
        }
        for pair, positions in dial.items():
            if tuple(positions) != LATENCY_NAMES:
                raise InputError(f"{pair} has the positions {', '.join(positions)}; needed: {', '.join(LATENCY_NAMES)}")
            for setting in positions.values():
                setting.make()
        return dial
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise CheckpointError(f"{path} is no latency dial: {error}") from error


def latency_setting(source: str, target: str, latency: str, policy: str = "", dial: Dial = EVERY) -> Setting:
    """The dial's setting for a language pair; or, where `policy` is given (as to `parse_policy`), that policy with its
    main knob at this position of the dial, unless the text of `policy` sets it.

    Raises InputError that names the allowed positions, policies or parameters.
    """
    if latency not in LATENCY_NAMES:
        raise InputError(f"unknown latency {latency!r}; allowed: {', '.join(LATENCY_NAMES)}")
    if not policy:
        return dial.get(f"{source}-{target}", LATENCIES)[latency]
    name, params = _split(policy)
    make_policy(name, **params)
    knob, positions = LADDERS[name]
    at = LATENCY_NAMES.index(latency)
    return Setting(name, LADDER_CHUNKS_MS[at], {knob: positions[at], **params})
