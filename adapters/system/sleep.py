import threading


class InterruptibleSleep:
    """A wait that another thread can cut short, or end for good."""

    def __init__(self) -> None:
        self._stopped = False
        self._disturbed = threading.Event()

    def wait(self, seconds: float) -> bool:
        if seconds > 0 and not self._stopped:
            self._disturbed.wait(seconds)
            # Cleared before the look, so that a stop that comes in between is not lost.
            self._disturbed.clear()
        return self._stopped

    def wake(self) -> None:
        """Cut short the wait that is under way, else the next one."""
        self._disturbed.set()

    def stop(self) -> None:
        self._stopped = True
        self._disturbed.set()
