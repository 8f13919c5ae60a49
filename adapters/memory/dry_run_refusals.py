from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from adapters.memory.tables import Tables
from application.ports.store.dry_run_refusals import DryRunRefusal
from domain.enforcement import Switch


class MemoryDryRunRefusals:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(self, switch: Switch, server_id: int, name: str, reason: str, now: datetime) -> None:
        key = (switch, server_id, name)
        before = self._tables.dry_run_refusals.get(key)
        if before is None:
            self._tables.last_dry_run_refusal_id += 1
            entry_id = self._tables.last_dry_run_refusal_id
            before = DryRunRefusal(entry_id, switch, server_id, name, reason, 0, now, now)
        self._tables.dry_run_refusals[key] = replace(
            before, reason=reason, count=before.count + 1, last_at=now
        )

    def page(self, after: int, size: int) -> Sequence[DryRunRefusal]:
        oldest_first = sorted(
            self._tables.dry_run_refusals.values(), key=lambda entry: entry.entry_id
        )
        return list(islice((entry for entry in oldest_first if entry.entry_id > after), size))

    def purge(self, not_since: datetime) -> int:
        old = [
            key for key, entry in self._tables.dry_run_refusals.items() if entry.last_at < not_since
        ]
        for key in old:
            del self._tables.dry_run_refusals[key]
        return len(old)
