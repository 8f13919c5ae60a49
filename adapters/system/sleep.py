import threading


class InterruptibleSleep:
    """A wait that another thread can cut short, or end for good."""

    def __init__(self) -> None:
        self._stopped = False
        self._interrupted = threading.Event()

    def wait(self, seconds: float) -> bool:
        if seconds > 0 and not self._stopped:
            self._interrupted.wait(seconds)
            # Cleared before `_stopped` is read, so that a stop in between is not lost.
            self._interrupted.clear()
        return self._stopped

    def wake(self) -> None:
        """Cut short the current wait, or else the next one."""
        self._interrupted.set()

    def stop(self) -> None:
        self._stopped = True
        self._interrupted.set()
