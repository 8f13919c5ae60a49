"""Hosts that register, and their state after an operator's decision."""

from dataclasses import replace

from application.liveness.record_heartbeat import Heartbeat
from application.registration.register_server import Registration
from domain.approval import ApprovalPolicy
from domain.configuration import Configuration
from domain.events import EventKind
from domain.history import HistoryEntry
from domain.machine_evidence import Evidence
from domain.registration_rules import RegistrationRules
from domain.server import Server
from tests.support.builders import NOW, evidence
from tests.support.fleet import Fleet

HERE = evidence("disk", "board", "boot 1", "process 1")
REBOOTED = evidence("disk", "board", "boot 2", "process 2")


def join(fleet: Fleet, name: str = "web", who: Evidence = HERE) -> Server:
    return fleet.register(Registration(name, evidence=who)).server


def send_heartbeat(fleet: Fleet, server: Server) -> object:
    credential = fleet.credentials.issue(server.server_id, server.epoch)
    [answer] = fleet.heartbeat([Heartbeat(server.server_id, credential=credential)])
    return answer


def history(fleet: Fleet, server_id: int) -> list[HistoryEntry]:
    with fleet.store.begin() as transaction:
        return list(transaction.history.of(server_id))


def kinds(fleet: Fleet, server_id: int) -> list[EventKind]:
    return [entry.kind for entry in history(fleet, server_id)]


def pending_server(fleet: Fleet) -> Server:
    """A server that waits for approval, with a document that it must not get yet."""
    fleet.rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)
    fleet.restart()
    server = join(fleet)
    with fleet.store.begin() as transaction:
        transaction.configurations.put(server.server_id, Configuration("limits", "{}", 3, NOW))
        transaction.servers.save(replace(server, config_revision=3))
    return server
