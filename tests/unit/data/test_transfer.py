"""Fetching ahead: in order, one item and no more, and what fails there fails where the item would come."""

import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest

from mt_trainer.data.transfer import fetched_ahead


class Counted(Iterator[int]):
    """0, 1, ...; knows what was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __next__(self) -> int:
        self.taken += 1
        return self.taken - 1


def test_items_come_in_their_order_made_in_one_other_thread() -> None:
    makers = set()

    def square(item: int) -> int:
        makers.add(threading.current_thread())
        return item * item

    assert list(islice(fetched_ahead(count(), square), 5)) == [0, 1, 4, 9, 16]
    assert len(makers) == 1
    assert threading.current_thread() not in makers


def test_the_next_item_is_made_while_the_one_before_is_worked_on() -> None:
    """Item 1 is there before it is asked for; had the thread waited for that, nobody would come to meet it."""
    meeting = threading.Barrier(2, timeout=20)

    def meet(item: int) -> int:
        if item == 1:
            meeting.wait()
        return item

    items = fetched_ahead(count(), meet)
    assert next(items) == 0
    meeting.wait()
    assert next(items) == 1


def test_no_more_than_one_item_ahead_is_taken() -> None:
    source = Counted()
    items = fetched_ahead(source, lambda item: item)
    for number in range(4):
        assert next(items) == number
    items.close()  # type: ignore[attr-defined]
    assert source.taken <= 5


def test_an_error_comes_in_the_place_of_its_item_and_once_the_others_were_given() -> None:
    def fail(item: int) -> int:
        if item == 2:
            raise ValueError("the third one")
        return item

    items = fetched_ahead(count(), fail)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="the third one"):
        next(items)


def test_no_thread_is_left_when_it_is_given_up() -> None:
    before = threading.active_count()
    items = fetched_ahead(count(), lambda item: item)
    next(items)
    assert threading.active_count() == before + 1
    del items
    assert threading.active_count() == before
