import asyncio


class RefusalDelay:
    """Holds refusals back for a moment: who calls too often mostly calls again as soon as it is
    answered, and each answer costs the others. More than so many at once are not held."""

    def __init__(self, *, seconds: float = 1.0, most_held: int = 1000) -> None:
        self._seconds = seconds
        self._most_held = most_held
        self._held = 0

    async def hold(self) -> None:
        if self._held >= self._most_held:
            return
        self._held += 1
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self._held -= 1
