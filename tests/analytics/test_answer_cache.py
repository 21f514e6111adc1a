"""Answers that are kept: made once for all who ask at the same time, and again after an error."""

import threading

import pytest

from tracecanary.analytics.answer_cache import AnswerCache


def test_who_asks_for_the_same_at_once_gets_one_answer() -> None:
    cache: AnswerCache[int] = AnswerCache(4)
    is_made, made, found = threading.Event(), [], []

    def make() -> int:
        made.append(1)
        assert is_made.wait(10)
        return 7

    threads = [threading.Thread(target=lambda: found.append(cache.answer("question", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    is_made.set()
    for thread in threads:
        thread.join(10)

    assert (found, made) == ([7] * 8, [1])
    assert cache.known("question") == 7


def test_an_error_is_told_and_not_kept() -> None:
    cache: AnswerCache[int] = AnswerCache(4)

    with pytest.raises(ZeroDivisionError):
        cache.answer("question", lambda: 1 // 0)

    assert cache.known("question") is None
    assert cache.answer("question", lambda: 3) == 3


def test_the_answers_asked_for_last_stay() -> None:
    cache: AnswerCache[int] = AnswerCache(2)
    for number in (1, 2):
        cache.answer(number, lambda number=number: number)  # type: ignore[misc]
    cache.known(1)

    cache.answer(3, lambda: 3)

    assert [cache.known(number) for number in (1, 2, 3)] == [1, None, 3]


def test_questions_that_fail_push_out_no_answers() -> None:
    cache: AnswerCache[int] = AnswerCache(2)
    for number in (1, 2):
        cache.answer(number, lambda number=number: number)  # type: ignore[misc]

    for unknown in range(3, 9):
        with pytest.raises(ZeroDivisionError):
            cache.answer(unknown, lambda: 1 // 0)

    assert [cache.known(number) for number in (1, 2)] == [1, 2]
