import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from adapters.grpc.server.error_codes import TooBusy, status_of
from adapters.grpc.server.group_commit import GroupCommit
from domain.errors import ServerNotFound

TIMEOUT_SECONDS = 30.0


class Writer:
    """Records its batches. An item above 100 is unknown; a negative one makes the store fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, batch: Sequence[int]) -> list[str | Exception]:
        self.batches.append(list(batch))
        if min(batch) < 0:
            raise OSError("the store is away")
        return [ServerNotFound(item) if item > 100 else f"wrote {item}" for item in batch]


async def submit(writer: Writer, *items: int, **limits: Any) -> list[str | BaseException]:
    with ThreadPoolExecutor(1) as executor:
        commit: GroupCommit[int, str] = GroupCommit(writer, executor, **limits)
        calls = [commit.submit(item) for item in items]
        return await asyncio.gather(*calls, return_exceptions=True)


def test_items_that_arrive_together_are_written_together() -> None:
    writer = Writer()
    answers = asyncio.run(submit(writer, 1, 2, 3))

    assert answers == ["wrote 1", "wrote 2", "wrote 3"]
    assert writer.batches == [[1, 2, 3]]


def test_a_batch_has_a_maximum_size() -> None:
    writer = Writer()
    asyncio.run(submit(writer, *range(7), max_batch_size=3))

    assert writer.batches == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_batch_of_the_flush_size_is_written_without_waiting() -> None:
    writer = Writer()

    async def in_time() -> list[str | BaseException]:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await submit(writer, 1, 2, 3, flush_size=3, gather_seconds=10 * TIMEOUT_SECONDS)

    assert asyncio.run(in_time()) == ["wrote 1", "wrote 2", "wrote 3"]
    assert writer.batches == [[1, 2, 3]]


def test_the_rest_of_a_batch_waits_for_more_items_again() -> None:
    writer = Writer()

    async def with_one_that_comes_later() -> None:
        with ThreadPoolExecutor(1) as executor:
            commit: GroupCommit[int, str] = GroupCommit(
                writer, executor, flush_size=3, max_batch_size=3, gather_seconds=0.2
            )
            at_once = [asyncio.create_task(commit.submit(item)) for item in range(4)]
            await at_once[0]
            await asyncio.gather(commit.submit(4), *at_once)

    asyncio.run(with_one_that_comes_later())

    assert writer.batches == [[0, 1, 2], [3, 4]]


def test_each_caller_gets_the_answer_to_its_own_item() -> None:
    answers = asyncio.run(submit(Writer(), 1, 404, 2))

    assert answers[0] == "wrote 1"
    assert isinstance(answers[1], ServerNotFound)
    assert answers[1].server_id == 404
    assert answers[2] == "wrote 2"


def test_every_caller_of_a_failed_batch_gets_the_error_and_the_next_batch_is_written() -> None:
    async def twice() -> list[str | BaseException]:
        with ThreadPoolExecutor(1) as executor:
            commit: GroupCommit[int, str] = GroupCommit(Writer(), executor)
            failed = await asyncio.gather(
                commit.submit(-1), commit.submit(2), return_exceptions=True
            )
            return [*failed, await commit.submit(3)]

    answers = asyncio.run(twice())

    assert [type(answer) for answer in answers] == [OSError, OSError, str]


def test_a_caller_that_has_given_up_does_not_affect_the_others() -> None:
    async def one_leaves() -> str:
        with ThreadPoolExecutor(1) as executor:
            commit: GroupCommit[int, str] = GroupCommit(Writer(), executor)
            leaving = asyncio.create_task(commit.submit(1))
            staying = asyncio.create_task(commit.submit(2))
            await asyncio.sleep(0)
            leaving.cancel()
            return await staying

    assert asyncio.run(one_leaves()) == "wrote 2"


def test_an_item_too_many_is_refused_with_a_retry_delay() -> None:
    answers = asyncio.run(submit(Writer(), 1, 2, 3, max_waiting=2))

    assert answers[:2] == ["wrote 1", "wrote 2"]
    refused = answers[2]
    assert isinstance(refused, TooBusy)
    code, status = status_of(refused, "Heartbeat")
    assert code.name == "RESOURCE_EXHAUSTED"
    assert status.details[0].type_url.endswith("google.rpc.RetryInfo")
