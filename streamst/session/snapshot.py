"""A session as bytes: its options, its policies by name and parameters, and what it has come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from streamst.errors import InputError
from streamst.nn.packing import from_bytes, to_bytes
from streamst.policies.base import Policy
from streamst.policies.catalog import Value, make_policy, name_of

from .options import SessionOptions
from .progress import Progress

FORMAT = 7


@dataclass(frozen=True)
class Named:
    """A policy."""

    name: str
    params: tuple[tuple[str, str | int | float | bool], ...]

    def make(self) -> Policy:
        """The policy; InputError for an unknown one."""
        params: dict[str, Value] = dict(self.params)
        return make_policy(self.name, **params)


@dataclass(frozen=True)
class Head:
    """What must be known before the rest can be read."""

    format: int
    options: SessionOptions
    policy: Named
    following: Named | None


@dataclass(frozen=True)
class Snapshot:
    """All of it."""

    head: Head
    progress: Progress


def pack(options: SessionOptions, policy: Policy, following: Policy | None, progress: Progress) -> bytes:
    """What `unpack` reads."""
    head = Head(FORMAT, options, _named(policy), None if following is None else _named(following))
    return to_bytes(Snapshot(head, progress))


def unpack(
    data: bytes, fresh: Callable[[SessionOptions, Policy], Progress]
) -> tuple[SessionOptions, Policy, Policy | None, Progress]:
    """(options, policy, the next policy, progress); InputError when `data` holds none.

    fresh: what a session with these options and this policy has come to at its beginning.
    """
    head: Head = from_bytes(Head, data, part="head")
    if head.format != FORMAT:
        raise InputError(f"snapshot format {head.format} is not {FORMAT}")
    policy = head.policy.make()
    following = None if head.following is None else head.following.make()
    progress: Progress = from_bytes(Progress, data, fresh(head.options, policy), part="progress")
    return head.options, policy, following, progress


def _named(policy: Policy) -> Named:
    return Named(name_of(policy), tuple(asdict(policy).items()))  # type: ignore[call-overload]
