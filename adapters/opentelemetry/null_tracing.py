from typing import TypeVar

T = TypeVar("T")


class NullTracing:
    """ApiTraces without tracing: each method returns its argument unchanged."""

    def interceptors(self) -> tuple[()]:
        return ()

    def engine(self, engine: T) -> T:
        return engine

    def heartbeats(self, record: T) -> T:
        return record

    def messages(self, queue: str, handle: T) -> T:
        return handle

    def message(self, queue: str, use_case: T) -> T:
        return use_case

    def events(self, events: T) -> T:
        return events

    def sweep(self, expire: T) -> T:
        return expire

    def close(self) -> None:
        """There is nothing to send."""
