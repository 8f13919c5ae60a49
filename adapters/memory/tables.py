from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import datetime
from typing import Generic, TypeVar

from application.ports.outbox import RecordedEvent
from domain.capabilities import Capabilities
from domain.configuration import Configuration
from domain.server import Server

K = TypeVar("K")
V = TypeVar("V")


class Table(MutableMapping[K, V], Generic[K, V]):
    """A dictionary of values that are never changed, which notes how to undo each write."""

    def __init__(self, undo: list[Callable[[], object]]) -> None:
        self._rows: dict[K, V] = {}
        self._undo = undo

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def __setitem__(self, key: K, value: V) -> None:
        self._note(key)
        self._rows[key] = value

    def __delitem__(self, key: K) -> None:
        self._note(key)
        del self._rows[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _note(self, key: K) -> None:
        rows = self._rows
        if key in rows:
            before = rows[key]
            self._undo.append(lambda: rows.__setitem__(key, before))
        else:
            self._undo.append(lambda: rows.pop(key))


class Tables:
    """Everything the memory mode keeps."""

    def __init__(self) -> None:
        self.undo: list[Callable[[], object]] = []
        self.servers: Table[int, Server] = Table(self.undo)
        self.ids: Table[str, int] = Table(self.undo)
        self.equipment: Table[int, tuple[tuple[datetime, Capabilities], ...]] = Table(self.undo)
        self.configurations: Table[int, Mapping[str, Configuration]] = Table(self.undo)
        self.outbox: Table[int, RecordedEvent] = Table(self.undo)
        self.lease: Table[str, datetime] = Table(self.undo)
        self.last_entry_id = 0
        # As with a sequence of a database: an id that was once given is never given again.
        self.last_id = 0
