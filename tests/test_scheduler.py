"""Deadlines first, fairness when it is late, company of the same kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.scheduler import SIZES, Scheduler, Task


def task(session: int, kind: str = "encode", deadline_us: int = 1000, client: str = "a", since_us: int = 0) -> Task:
    return Task(session, client, kind, deadline_us, since_us)


def sessions(tasks: list[Task]) -> list[object]:
    return [t.session for t in tasks]


def test_nobody_waiting_is_nobody_going() -> None:
    scheduler = Scheduler()
    assert scheduler.next(0) == []
    assert scheduler.due_us() is None


def test_the_earliest_deadline_goes_first_and_takes_its_kind_along() -> None:
    scheduler = Scheduler()
    for one in (task(1, deadline_us=900), task(2, "speak", 100), task(3, deadline_us=300), task(4, "speak", 950)):
        scheduler.add(one)
    assert sessions(scheduler.next(0)) == [2, 4]
    assert sessions(scheduler.next(0)) == [3, 1]
    assert len(scheduler) == 0


def test_of_late_tasks_the_client_goes_first_that_had_least() -> None:
    scheduler = Scheduler(sizes=(1,))
    for number in range(3):
        scheduler.add(task(number, deadline_us=10 + number, client="greedy"))
    scheduler.add(task(9, deadline_us=50, client="modest"))
    scheduler.account("greedy", 500)
    assert sessions(scheduler.next(20)) == [0]  # late ones before those in time
    assert sessions(scheduler.next(60)) == [9]
    assert sessions(scheduler.next(60)) == [1]


def test_in_time_a_greedy_client_loses_nothing() -> None:
    scheduler = Scheduler(sizes=(1,))
    scheduler.add(task(1, deadline_us=500, client="greedy"))
    scheduler.add(task(2, deadline_us=600, client="modest"))
    scheduler.account("greedy", 10_000)
    assert sessions(scheduler.next(100)) == [1]


def test_a_client_that_comes_late_has_no_credit_for_its_absence() -> None:
    scheduler = Scheduler(sizes=(1,))
    scheduler.add(task(1, deadline_us=0, client="old"))
    scheduler.account("old", 1_000_000)
    scheduler.add(task(2, deadline_us=1, client="new"))
    scheduler.account("new", 1)
    assert sessions(scheduler.next(10)) == [1]


def test_company_is_waited_for_within_the_window_and_never_beyond_the_deadline() -> None:
    scheduler = Scheduler(window_us=100)
    scheduler.add(task(1, deadline_us=1000))
    assert scheduler.next(99) == []
    assert scheduler.due_us() == 100
    assert sessions(scheduler.next(100)) == [1]
    scheduler.add(task(2, deadline_us=40))
    assert scheduler.due_us() == 40
    assert sessions(scheduler.next(40)) == [2]


def test_a_full_batch_waits_for_nobody() -> None:
    scheduler = Scheduler(sizes=(1, 2), window_us=1000)
    scheduler.add(task(1))
    assert scheduler.next(1) == []
    scheduler.add(task(2))
    assert sessions(scheduler.next(1)) == [1, 2]


def test_a_session_waits_for_one_thing_at_a_time() -> None:
    scheduler = Scheduler()
    scheduler.add(task(1))
    with pytest.raises(ValueError, match="has a task already"):
        scheduler.add(task(1, "speak"))
    scheduler.drop(1)
    scheduler.add(task(1, "speak"))
    assert [t.kind for t in scheduler.next(0)] == ["speak"]


@pytest.mark.parametrize("sizes", [(), (2, 4), (1, 4, 2), (1, 1)])
def test_sizes_that_leave_somebody_out_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending from 1"):
        Scheduler(sizes=sizes)


@given(st.lists(st.tuples(st.sampled_from("esh"), st.integers(0, 500), st.sampled_from("abc")), max_size=60))
def test_everybody_goes_once_in_batches_of_allowed_sizes(wanted: list[tuple[str, int, str]]) -> None:
    scheduler = Scheduler()
    for number, (kind, deadline_us, client) in enumerate(wanted):
        scheduler.add(task(number, kind, deadline_us, client))
    gone: list[Task] = []
    while len(scheduler):
        batch = scheduler.next(250)
        assert len({t.kind for t in batch}) == 1
        assert len(batch) in SIZES
        assert min(t.deadline_us for t in batch) <= 250 or all(t.deadline_us > 250 for t in batch)
        gone += batch
    assert sorted(sessions(gone), key=str) == sorted(range(len(wanted)), key=str)
