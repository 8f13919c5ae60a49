import asyncio
import logging
from datetime import timedelta

import pytest

from application.ports.store.store import StoreFailed, StoreUnavailable
from entrypoints.api import tidy as tidy_module
from entrypoints.api.tidy import run_clean_up

PATIENCE_SECONDS = 20


def test_it_goes_on_whatever_happens_and_tells_what_nobody_else_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    troubles = [StoreUnavailable(), StoreFailed(), ZeroDivisionError()]

    async def until_all_is_well() -> None:
        all_is_well = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tidy() -> bool:
            if troubles:
                raise troubles.pop(0)
            loop.call_soon_threadsafe(all_is_well.set)
            return False

        forever = asyncio.create_task(run_clean_up(tidy, timedelta(milliseconds=1)))
        await asyncio.wait_for(all_is_well.wait(), PATIENCE_SECONDS)
        forever.cancel()

    caplog.set_level(logging.INFO, tidy_module.__name__)
    asyncio.run(until_all_is_well())
    told = [record for record in caplog.records if record.name == tidy_module.__name__]

    assert [record.message for record in told] == [
        "what nobody needs any more could not be deleted"
    ]
    assert told[0].exc_info


def test_what_is_left_is_done_at_once_and_then_it_rests_for_about_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: list[float] = []
    rests_before: list[int] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    def tidy() -> bool:
        rests_before.append(len(rests))
        if len(rests_before) == 5:
            raise asyncio.CancelledError
        # There is more after the first and the second time.
        return len(rests_before) < 3

    monkeypatch.setattr(asyncio, "sleep", rest)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run_clean_up(tidy, timedelta(days=1)))

    assert rests_before == [1, 1, 1, 2, 3]
    assert all(30 <= seconds <= 90 for seconds in rests)
