import asyncio


class RefusalDelay:
    """Delays refusals. Most clients that call too often call again as soon as they get an answer,
    and each answer takes time from other callers. At most `max_held` refusals wait at the same
    time; beyond that they are sent at once."""

    def __init__(self, *, seconds: float = 1.0, max_held: int = 1000) -> None:
        self._seconds = seconds
        self._most_held = max_held
        self._held = 0

    async def hold(self) -> None:
        if self._held >= self._most_held:
            return
        self._held += 1
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self._held -= 1
