from sqlalchemy import Connection, case, func, select, update

from adapters.sql.tables import configuration_clock

_COLUMNS = configuration_clock.c
_ONLY_CLOCK_ID = 1
# Any number that no other software uses on the same database. Unlike a row lock, an advisory lock
# is granted in turn: transactions that share it cannot block forever one that needs it exclusively.
_CHANGE_OF_CONFIGURATION = 0x6D616E6F


class SqlConfigurationClock:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tick(self, above: int = 0) -> int:
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(select(func.pg_advisory_xact_lock(_CHANGE_OF_CONFIGURATION)))
        last = case((_COLUMNS.revision < above, above), else_=_COLUMNS.revision)
        revision: int = self._connection.execute(
            update(configuration_clock)
            .where(_COLUMNS.clock_id == _ONLY_CLOCK_ID)
            .values(revision=last + 1)
            .returning(_COLUMNS.revision)
        ).scalar_one()
        return revision

    def hold(self) -> int:
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(
                select(func.pg_advisory_xact_lock_shared(_CHANGE_OF_CONFIGURATION))
            )
        revision: int = self._connection.execute(
            select(_COLUMNS.revision).where(_COLUMNS.clock_id == _ONLY_CLOCK_ID)
        ).scalar_one()
        return revision
