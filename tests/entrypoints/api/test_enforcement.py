"""Each switch at each place where a host is refused, in each mode, over gRPC and over AMQP."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.amqp.batch_consumer import Answered, IncomingMessage
from adapters.amqp.codec import as_json, evidence_to_fields
from adapters.amqp.errors import error_fields
from application.configuration.put_configuration import PutConfiguration
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.registration.register_server import Registration
from domain.approval import ApprovalPolicy
from domain.conflict import Resolution
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import ManManError, NameInUse
from domain.machine_evidence import NO_EVIDENCE, Evidence
from domain.registration_rules import RegistrationRules
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from tests.support.builders import evidence
from tests.support.canary_secrets import canary
from tests.support.fleet import Fleet

BROKER = f"amqp://guest:{canary('broker password')}@nowhere/vhost"
HERE = evidence("disk", "board", "boot", "process")
RESTARTED = evidence("disk", "board", "boot", "later process")
ELSEWHERE = evidence("other disk", "other board", "other boot", "other process")

# What a host is told: a kind of error, or the revision of its configuration.
Told = str | int


def told(error: ManManError) -> Told:
    fields: Any = error_fields(error)
    return str(fields["error"]["kind"])


@dataclass(frozen=True)
class OverGrpc:
    """The use cases as the services have them."""

    api: ApiContainer

    def register(self, name: str, who: Evidence) -> Told:
        registration = Registration(name, evidence=who)
        return self._told(
            lambda: self.api.host_service().register_server(registration).config_revision
        )

    def heartbeat(self, server_id: int, epoch: int) -> Told:
        [answer] = self.api.record_heartbeat()([Heartbeat(server_id, epoch=epoch)])
        return answer.config_revision if isinstance(answer, Acknowledged) else told(answer)

    def fetch(self, server_id: int) -> Told:
        fetch = self.api.configuration_service().fetch_configuration
        return self._told(lambda: fetch(server_id, "", 0).revision)

    def deregister(self, server_id: int) -> Told:
        def deregister() -> int:
            self.api.removal_service().deregister_server(server_id, "", HERE.instance_id)
            return 0

        return self._told(deregister)

    def _told(self, call: Callable[[], int]) -> Told:
        try:
            return call()
        except ManManError as error:
            return told(error)


@dataclass(frozen=True)
class OverAmqp:
    """The inboxes, as if a broker had brought this."""

    api: ApiContainer

    def register(self, name: str, who: Evidence) -> Told:
        return self._ask(1, "register.host", name=name, evidence=evidence_to_fields(who))

    def heartbeat(self, server_id: int, epoch: int) -> Told:
        return self._ask(0, f"health.host.{server_id}", server_id=server_id, epoch=epoch)

    def fetch(self, server_id: int) -> Told:
        return self._ask(1, f"configuration.host.{server_id}", server_id=server_id)

    def deregister(self, server_id: int) -> Told:
        return self._ask(
            1,
            f"deregister.host.{server_id}",
            server_id=server_id,
            instance_id=HERE.instance_id,
        )

    def _ask(self, inbox: int, routing_key: str, **fields: object) -> Told:
        delivery = IncomingMessage(routing_key, as_json(fields), "answers", "request-1")
        [outcome] = self.api.consumers()[inbox].handle([delivery])
        assert isinstance(outcome, Answered)
        answer: Any = outcome.fields
        if "error" in answer:
            return str(answer["error"]["kind"])
        return int(answer.get("config_revision", answer.get("revision", 0)))


Host = OverGrpc | OverAmqp


@pytest.fixture(params=[OverGrpc, OverAmqp])
def host_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Switch, Mode], Host]]:
    containers: list[ApiContainer] = []

    def host_of(switch: Switch, mode: Mode) -> Host:
        settings = ApiSettings(
            database_url=Secret(IN_MEMORY),
            rabbitmq_url=Secret(BROKER),
            enforcement=Enforcement({switch: mode}),
        )
        containers.append(ApiContainer(settings=settings))
        host: Host = request.param(containers[-1])
        return host

    yield host_of
    for container in containers:
        container.host_call_admission().close()
        container.operator_calls().close()
        container.heartbeat_writer().shutdown()


def join(fleet: Fleet, who: Evidence = HERE) -> int:
    return fleet.register(Registration("web", evidence=who)).server.server_id


def claim_of_another(fleet: Fleet, host: Host) -> Told:
    join(fleet)
    return host.register("web", ELSEWHERE)


def claim_of_who_was_evicted(fleet: Fleet, host: Host) -> Told:
    join(fleet)
    with pytest.raises(NameInUse):
        join(fleet, ELSEWHERE)
    fleet.resolve(1, Resolution.EVICT)
    return host.register("web", HERE)


def heartbeat_of_who_was_replaced(fleet: Fleet, host: Host) -> Told:
    join(fleet)
    return host.heartbeat(join(fleet, RESTARTED), 1)


def heartbeat_without_a_credential(fleet: Fleet, host: Host) -> Told:
    return host.heartbeat(join(fleet), 1)


def registration_of_who_was_rejected(fleet: Fleet, host: Host) -> Told:
    fleet.reject(join(fleet))
    return host.register("web", HERE)


def registration_by_name_of_who_was_rejected(fleet: Fleet, host: Host) -> Told:
    fleet.reject(join(fleet))
    return host.register("web", NO_EVIDENCE)


def registration_of_a_banned_machine(fleet: Fleet, host: Host) -> Told:
    fleet.ban(join(fleet))
    return host.register("innocent", RESTARTED)


def heartbeat_of_who_was_rejected(fleet: Fleet, host: Host) -> Told:
    server_id = join(fleet)
    fleet.reject(server_id)
    return host.heartbeat(server_id, 1)


def fetch_of_who_was_rejected(fleet: Fleet, host: Host) -> Told:
    server_id = join(fleet)
    fleet.reject(server_id)
    return host.fetch(server_id)


def deregistration_of_who_was_rejected(fleet: Fleet, host: Host) -> Told:
    server_id = join(fleet)
    fleet.reject(server_id)
    return host.deregister(server_id)


def wait_for_approval(fleet: Fleet) -> int:
    fleet.rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)
    fleet.restart()
    server_id = join(fleet)
    PutConfiguration(fleet.store, fleet.clock)(server_id, "limits", "{}")
    return server_id


def registration_of_who_waits(fleet: Fleet, host: Host) -> Told:
    wait_for_approval(fleet)
    return host.register("web", HERE)


def heartbeat_of_who_waits(fleet: Fleet, host: Host) -> Told:
    return host.heartbeat(wait_for_approval(fleet), 1)


def fetch_of_who_waits(fleet: Fleet, host: Host) -> Told:
    return host.fetch(wait_for_approval(fleet))


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("switch", "ask", "refused", "let_through"),
    [
        (Switch.NAME_CONFLICT, claim_of_another, "name_held", 0),
        (Switch.NAME_CONFLICT, claim_of_who_was_evicted, "name_held", 0),
        (Switch.EPOCH, heartbeat_of_who_was_replaced, "replaced", 0),
        (Switch.CREDENTIAL, heartbeat_without_a_credential, "credential_required", 0),
        (Switch.BAN, registration_of_who_was_rejected, "not_admitted", 0),
        (Switch.BAN, registration_by_name_of_who_was_rejected, "not_admitted", 0),
        (Switch.BAN, registration_of_a_banned_machine, "not_admitted", 0),
        # It shows no credential, so it is not told that there is such a server.
        (Switch.BAN, heartbeat_of_who_was_rejected, "server_not_found", 0),
        (Switch.BAN, fetch_of_who_was_rejected, "not_admitted", 0),
        (Switch.BAN, deregistration_of_who_was_rejected, "not_admitted", 0),
        (Switch.APPROVAL, fetch_of_who_waits, 0, 1),
        # They are told of what they may not read yet; it is noted once they read it.
        (Switch.APPROVAL, registration_of_who_waits, 0, 1),
        (Switch.APPROVAL, heartbeat_of_who_waits, 0, 1),
    ],
)
def test_a_switch_refuses_or_lets_through_and_notes_only_what_it_warns_of(
    host_of: Callable[[Switch, Mode], Host],
    switch: Switch,
    ask: Callable[[Fleet, Host], Told],
    refused: Told,
    let_through: Told,
    mode: Mode,
) -> None:
    host = host_of(switch, mode)
    fleet = Fleet(host.api.store())

    assert ask(fleet, host) == (refused if mode is Mode.ENFORCE else let_through)
    with fleet.store.begin() as transaction:
        noted = [entry.switch for entry in transaction.dry_run_refusals.page(after=0, size=9)]
    reads_nothing = ask in (registration_of_who_waits, heartbeat_of_who_waits)
    assert noted == ([switch] if mode is Mode.WARN and not reads_nothing else [])


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OFF])
def test_where_a_rejected_server_is_let_through_a_replaced_process_is_still_told_so(
    host_of: Callable[[Switch, Mode], Host], mode: Mode
) -> None:
    host = host_of(Switch.BAN, mode)
    fleet = Fleet(host.api.store())
    join(fleet)
    server_id = join(fleet, RESTARTED)
    fleet.reject(server_id)

    assert host.heartbeat(server_id, 1) == "replaced"
    assert host.heartbeat(server_id, 2) == 0
