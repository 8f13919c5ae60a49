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

# The answer to a host: the kind of an error, or the revision of its configuration.
Answer = str | int


def error_kind(error: ManManError) -> Answer:
    fields: Any = error_fields(error)
    return str(fields["error"]["kind"])


@dataclass(frozen=True)
class OverGrpc:
    """The use cases of the services."""

    api: ApiContainer

    def register(self, name: str, machine: Evidence) -> Answer:
        registration = Registration(name, evidence=machine)
        return self._answer(
            lambda: self.api.host_service().register_server(registration).config_revision
        )

    def heartbeat(self, server_id: int, epoch: int) -> Answer:
        [answer] = self.api.record_heartbeat()([Heartbeat(server_id, epoch=epoch)])
        return answer.config_revision if isinstance(answer, Acknowledged) else error_kind(answer)

    def fetch(self, server_id: int) -> Answer:
        fetch = self.api.configuration_service().fetch_configuration
        return self._answer(lambda: fetch(server_id, "", 0).revision)

    def deregister(self, server_id: int) -> Answer:
        def deregister() -> int:
            self.api.removal_service().deregister_server(server_id, "", HERE.instance_id)
            return 0

        return self._answer(deregister)

    def _answer(self, call: Callable[[], int]) -> Answer:
        try:
            return call()
        except ManManError as error:
            return error_kind(error)


@dataclass(frozen=True)
class OverAmqp:
    """The consumers, with a message as a broker would deliver it."""

    api: ApiContainer

    def register(self, name: str, machine: Evidence) -> Answer:
        return self._ask(1, "register.host", name=name, evidence=evidence_to_fields(machine))

    def heartbeat(self, server_id: int, epoch: int) -> Answer:
        return self._ask(0, f"health.host.{server_id}", server_id=server_id, epoch=epoch)

    def fetch(self, server_id: int) -> Answer:
        return self._ask(1, f"configuration.host.{server_id}", server_id=server_id)

    def deregister(self, server_id: int) -> Answer:
        return self._ask(
            1,
            f"deregister.host.{server_id}",
            server_id=server_id,
            instance_id=HERE.instance_id,
        )

    def _ask(self, consumer: int, routing_key: str, **fields: object) -> Answer:
        message = IncomingMessage(routing_key, as_json(fields), "answers", "request-1")
        [outcome] = self.api.consumers()[consumer].handle([message])
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


def join(fleet: Fleet, machine: Evidence = HERE) -> int:
    return fleet.register(Registration("web", evidence=machine)).server.server_id


def claim_of_another_machine(fleet: Fleet, host: Host) -> Answer:
    join(fleet)
    return host.register("web", ELSEWHERE)


def claim_of_an_evicted_host(fleet: Fleet, host: Host) -> Answer:
    join(fleet)
    with pytest.raises(NameInUse):
        join(fleet, ELSEWHERE)
    fleet.resolve(1, Resolution.EVICT)
    return host.register("web", HERE)


def heartbeat_of_a_replaced_host(fleet: Fleet, host: Host) -> Answer:
    join(fleet)
    return host.heartbeat(join(fleet, RESTARTED), 1)


def heartbeat_without_a_credential(fleet: Fleet, host: Host) -> Answer:
    return host.heartbeat(join(fleet), 1)


def registration_of_a_rejected_host(fleet: Fleet, host: Host) -> Answer:
    fleet.reject(join(fleet))
    return host.register("web", HERE)


def registration_by_name_of_a_rejected_host(fleet: Fleet, host: Host) -> Answer:
    fleet.reject(join(fleet))
    return host.register("web", NO_EVIDENCE)


def registration_of_a_banned_machine(fleet: Fleet, host: Host) -> Answer:
    fleet.ban(join(fleet))
    return host.register("innocent", RESTARTED)


def heartbeat_of_a_rejected_host(fleet: Fleet, host: Host) -> Answer:
    server_id = join(fleet)
    fleet.reject(server_id)
    return host.heartbeat(server_id, 1)


def fetch_of_a_rejected_host(fleet: Fleet, host: Host) -> Answer:
    server_id = join(fleet)
    fleet.reject(server_id)
    return host.fetch(server_id)


def deregistration_of_a_rejected_host(fleet: Fleet, host: Host) -> Answer:
    server_id = join(fleet)
    fleet.reject(server_id)
    return host.deregister(server_id)


def wait_for_approval(fleet: Fleet) -> int:
    fleet.rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)
    fleet.restart()
    server_id = join(fleet)
    PutConfiguration(fleet.store, fleet.clock)(server_id, "limits", "{}")
    return server_id


def registration_of_a_pending_host(fleet: Fleet, host: Host) -> Answer:
    wait_for_approval(fleet)
    return host.register("web", HERE)


def heartbeat_of_a_pending_host(fleet: Fleet, host: Host) -> Answer:
    return host.heartbeat(wait_for_approval(fleet), 1)


def fetch_of_a_pending_host(fleet: Fleet, host: Host) -> Answer:
    return host.fetch(wait_for_approval(fleet))


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("switch", "ask", "refused", "let_through"),
    [
        (Switch.NAME_CONFLICT, claim_of_another_machine, "name_held", 0),
        (Switch.NAME_CONFLICT, claim_of_an_evicted_host, "name_held", 0),
        (Switch.EPOCH, heartbeat_of_a_replaced_host, "replaced", 0),
        (Switch.CREDENTIAL, heartbeat_without_a_credential, "credential_required", 0),
        (Switch.BAN, registration_of_a_rejected_host, "not_admitted", 0),
        (Switch.BAN, registration_by_name_of_a_rejected_host, "not_admitted", 0),
        (Switch.BAN, registration_of_a_banned_machine, "not_admitted", 0),
        # It sends no credential, so the answer does not reveal that the server exists.
        (Switch.BAN, heartbeat_of_a_rejected_host, "server_not_found", 0),
        (Switch.BAN, fetch_of_a_rejected_host, "not_admitted", 0),
        (Switch.BAN, deregistration_of_a_rejected_host, "not_admitted", 0),
        (Switch.APPROVAL, fetch_of_a_pending_host, 0, 1),
        # They learn of a configuration that they may not read yet; reading it is recorded.
        (Switch.APPROVAL, registration_of_a_pending_host, 0, 1),
        (Switch.APPROVAL, heartbeat_of_a_pending_host, 0, 1),
    ],
)
def test_a_switch_refuses_or_lets_through_and_records_only_what_it_warns_about(
    host_of: Callable[[Switch, Mode], Host],
    switch: Switch,
    ask: Callable[[Fleet, Host], Answer],
    refused: Answer,
    let_through: Answer,
    mode: Mode,
) -> None:
    host = host_of(switch, mode)
    fleet = Fleet(host.api.store())

    assert ask(fleet, host) == (refused if mode is Mode.ENFORCE else let_through)
    with fleet.store.begin() as transaction:
        recorded = [entry.switch for entry in transaction.dry_run_refusals.page(after=0, size=9)]
    fetches_nothing = ask in (registration_of_a_pending_host, heartbeat_of_a_pending_host)
    assert recorded == ([switch] if mode is Mode.WARN and not fetches_nothing else [])


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OFF])
def test_a_replaced_process_is_refused_even_if_its_rejected_server_is_let_through(
    host_of: Callable[[Switch, Mode], Host], mode: Mode
) -> None:
    host = host_of(Switch.BAN, mode)
    fleet = Fleet(host.api.store())
    join(fleet)
    server_id = join(fleet, RESTARTED)
    fleet.reject(server_id)

    assert host.heartbeat(server_id, 1) == "replaced"
    assert host.heartbeat(server_id, 2) == 0
