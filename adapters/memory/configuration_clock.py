from adapters.memory.tables import Tables


class MemoryConfigurationClock:
    """Transactions run one after another, so no lock is needed."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def tick(self, above: int = 0) -> int:
        self._tables.last_revision = max(self._tables.last_revision, above) + 1
        return self._tables.last_revision

    def hold(self) -> int:
        return self._tables.last_revision
