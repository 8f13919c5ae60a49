from dataclasses import replace
from datetime import datetime

from application.ports.store.store import Transaction
from domain.approval import Approval
from domain.events import Event, EventKind, status_events
from domain.liveness import Status
from domain.server import Server

_KINDS = {Approval.REJECTED: EventKind.REJECTED, Approval.BANNED: EventKind.BANNED}


def refuse_server(
    transaction: Transaction,
    server: Server,
    approval: Approval,
    cause: str,
    reason: str,
    now: datetime,
) -> Server:
    """Refuse the host of a locked server from now on, and set the server offline.

    Nothing is published if it is already refused in this way and for this reason.
    """
    if (server.approval, server.approval_reason) == (approval, reason):
        return server
    presence = replace(server.presence, status=Status.OFFLINE, offline_after=None)
    refused = replace(server, approval=approval, approval_reason=reason, presence=presence)
    transaction.servers.save(refused)
    full_cause = f"{cause}: {reason}" if reason else cause
    went_offline = status_events(
        server.server_id, server.presence.status, Status.OFFLINE, now, full_cause
    )
    transaction.outbox.add(
        [Event(_KINDS[approval], server.server_id, now, full_cause), *went_offline]
    )
    return refused
