from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, true

from adapters.sql.statements import insert_or_replace, next_id
from adapters.sql.tables import identities, servers
from application.ports.store.identities import KnownIdentity
from domain.machine_evidence import UNKNOWN_IDENTITY, Evidence, Identity

_COLUMNS = identities.c
_MAX_MATCHES = 100


class SqlIdentities:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, server_id: int) -> Identity:
        row = self._connection.execute(
            select(identities).where(_COLUMNS.server_id == server_id)
        ).one_or_none()
        return _identity(row) if row else UNKNOWN_IDENTITY

    def save(self, server_id: int, identity: Identity) -> None:
        self._connection.execute(
            insert_or_replace(self._connection.dialect.name, identities),
            {
                "server_id": server_id,
                "machine": identity.machine,
                **asdict(identity.evidence),
                "address": identity.address,
                "registered_at": identity.registered_at,
            },
        )

    def of_machine(self, evidence: Evidence) -> Sequence[KnownIdentity]:
        condition = _two_sources_agree(evidence)
        if condition is None:
            return ()
        rows = self._connection.execute(
            select(identities)
            .where(condition, _has_no_other_board(evidence))
            .order_by(_COLUMNS.server_id)
            .limit(_MAX_MATCHES)
        )
        return [KnownIdentity(row.server_id, _identity(row)) for row in rows]

    def new_machine(self) -> int:
        # From the sequence of the ids of servers, because most numbers are the id of a server.
        return next_id(self._connection, servers.c.server_id)


def _two_sources_agree(evidence: Evidence) -> ColumnElement[bool] | None:
    """The rule of `compare`, as a condition.

    If clones were filtered out later, they could fill the page and displace the machine itself.
    Kernel or board is always one of the two sources, and both have an index. None if the evidence
    has fewer than two.
    """
    same = {kind: _COLUMNS[kind] == digest for kind, digest in asdict(evidence).items() if digest}
    of_disk = [same[kind] for kind in ("machine_id", "engine_id") if kind in same]
    disk = [or_(*of_disk)] if of_disk else []
    board, kernel = ([same[kind]] if kind in same else [] for kind in ("hardware_id", "boot_id"))
    pairs = [
        and_(*one, *other)
        for one, other in ((kernel, disk), (kernel, board), (board, disk))
        if one and other
    ]
    return or_(*pairs) if pairs else None


def _has_no_other_board(evidence: Evidence) -> ColumnElement[bool]:
    if not evidence.hardware_id:
        return true()
    return _COLUMNS.hardware_id.in_(("", evidence.hardware_id))


def _identity(row: Row[Any]) -> Identity:
    evidence = Evidence(
        machine_id=row.machine_id,
        hardware_id=row.hardware_id,
        engine_id=row.engine_id,
        boot_id=row.boot_id,
        instance_id=row.instance_id,
    )
    return Identity(evidence, row.machine, row.address, row.registered_at)
