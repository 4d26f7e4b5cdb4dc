"""What a client's settings ask of a session."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from streamst.policies.catalog import Setting
from streamst.server.wire.seam import Settings
from streamst.session import Session

if TYPE_CHECKING:
    from streamst.pipeline import Pipeline


def open_session(pipeline: Pipeline, settings: Settings, terms: tuple[tuple[str, str], ...] = ()) -> Session:
    """A session with these settings, target and latency named, and with these of the glossary's terms; InputError names
    what is not allowed."""
    assert settings.target is not None
    assert settings.latency is not None
    return pipeline.session(
        target=settings.target,
        policy=settings.policy,
        latency=settings.latency,
        speech=settings.room or "audio" in settings.output,
        glossary=terms,
    )


def same_but_for_the_dial(settings: Settings, other: Settings) -> bool:
    """Whether they differ in policy and latency at most, and in a room that asks no more of the session."""
    room = other.room if "audio" in settings.output else settings.room
    return dataclasses.replace(settings, policy=other.policy, latency=other.latency, room=room) == other


def setting_of(pipeline: Pipeline, settings: Settings) -> Setting:
    """Policy and chunk that they ask for; errors as in `open_session`."""
    assert settings.target is not None
    assert settings.latency is not None
    return pipeline.setting(settings.target, settings.policy, settings.latency)
