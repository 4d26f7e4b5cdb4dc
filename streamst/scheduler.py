"""Who is next on a device, in whole numbers: no clock, no networks, no threads.

Every session has at most one task waiting. The task whose deadline comes first goes first; tasks that are late already
go in the order of what their clients have had, least first, so that a client with many sessions does not make the
others wait for all of them. Tasks of the same kind as the first go with it, in the same order.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True)
class Task:
    """One small piece of work of one session. Times are in microseconds of any clock that only goes forward."""

    session: Hashable
    client: Hashable  # whom the session belongs to
    kind: str  # what may go together: tasks of one kind
    deadline_us: int
    since_us: int  # when it began to wait


@dataclass
class Scheduler:
    """The tasks that wait.

    sizes: how many tasks may go together, ascending; few different sizes are few different shapes for the device.
    window_us: how long the first task may wait for company, while its deadline allows.
    """

    sizes: tuple[int, ...] = SIZES
    window_us: int = 0
    _waiting: dict[Hashable, Task] = field(default_factory=dict)
    _had_us: dict[Hashable, int] = field(default_factory=dict)  # device time by client

    def __post_init__(self) -> None:
        if not self.sizes or self.sizes[0] != 1 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes {self.sizes} are not ascending from 1")

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, task: Task) -> None:
        """Let `task` wait; ValueError when its session has one waiting already."""
        if task.session in self._waiting:
            raise ValueError(f"session {task.session!r} has a task already")
        self._waiting[task.session] = task
        if task.client not in self._had_us:  # who is new has had as much as who has had least: no credit for absence
            self._had_us[task.client] = min(self._had_us.values(), default=0)

    def drop(self, session: Hashable) -> None:
        """Forget the session's task, if there is one."""
        self._waiting.pop(session, None)

    def forget(self, client: Hashable) -> None:
        """The client has no session any more."""
        self._had_us.pop(client, None)

    def account(self, client: Hashable, took_us: int) -> None:
        """Note that the client's work took so much of the device's time."""
        if client in self._had_us:
            self._had_us[client] += took_us

    def next(self, now_us: int) -> list[Task]:
        """Remove and return the tasks that go now, together; none while nobody waits, or company is waited for."""
        if not self._waiting:
            return []

        def order(task: Task) -> tuple[int, int, int]:
            late = task.deadline_us <= now_us
            return (0 if late else 1, self._had_us.get(task.client, 0) if late else 0, task.deadline_us)

        first = min(self._waiting.values(), key=order)
        alike = sorted((task for task in self._waiting.values() if task.kind == first.kind), key=order)
        if len(alike) < self.sizes[-1] and now_us < self._until_us(first):
            return []
        size = max(size for size in self.sizes if size <= len(alike))
        for task in alike[:size]:
            del self._waiting[task.session]
        return alike[:size]

    def due_us(self) -> int | None:
        """When `next` should be asked again at the latest; None while nobody waits."""
        return min(map(self._until_us, self._waiting.values()), default=None)

    def _until_us(self, task: Task) -> int:
        """Until when the task may wait for company."""
        return max(task.since_us, min(task.since_us + self.window_us, task.deadline_us))
