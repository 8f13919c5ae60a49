"""The entries that operators' calls leave in the audit log."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any

import grpc
import pytest
from dependency_injector import providers
from google.protobuf.message_factory import GetMessageClass

from adapters.grpc.client.operator_client import OperatorClient
from adapters.grpc.messages.hosts import evidence_to_message
from adapters.grpc.server.call_audit import CallAudit
from adapters.grpc.server.permissions import PERMISSIONS, SERVICE
from adapters.memory.store import MemoryStore
from application.operators.record_audit_entry import RecordAuditEntry
from domain.host_command import HostCommand
from domain.machine_evidence import Evidence
from domain.operator_key import Operator
from domain.role import Role
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from tests.support.builders import evidence
from tests.support.canary_secrets import DOCUMENT, canary, leak_detector
from tests.support.fleet import UnreliableStore
from tests.support.oidc_provider import provider

CHANGES = sorted(name for name, rule in PERMISSIONS.items() if rule.changes)
NOT_FOR_VIEWERS = sorted(
    name for name, rule in PERMISSIONS.items() if rule.role in (Role.OPERATOR, Role.ADMIN)
)
READS = sorted(name for name, rule in PERMISSIONS.items() if rule.role and not rule.changes)
REQUESTS = {method.name: GetMessageClass(method.input_type) for method in SERVICE.methods}

TIMEOUT_SECONDS = 10
UNKNOWN_SERVER = 4711
SECRET = canary("secret of a key")
HERE = evidence("disk", "board", "boot", "process")
CLONE = evidence("disk", "other board", "other boot", "other process")


class ListeningHosts:
    def send(self, server_id: int, command: HostCommand) -> None:
        pass


class AuditedApi:
    def __init__(self, container: ApiContainer, port: int, key: str) -> None:
        self.container = container
        self.address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(self.address)
        self.key = key

    def call(self, method: str, fields: Mapping[str, Any] | None = None, key: str = "") -> Any:
        return self.send(method, REQUESTS[method](**fields or {}).SerializeToString(), key)

    def send(self, method: str, body: bytes, key: str = "") -> Any:
        return self.start(method, body, key).result()

    def start(self, method: str, body: bytes, key: str = "") -> Any:
        parse_response = getattr(pb, method + "Response").FromString
        call: Any = self.channel.unary_unary(
            f"/{SERVICE.full_name}/{method}", response_deserializer=parse_response
        )
        metadata = (("authorization", f"Bearer {key or self.key}"),)
        return call.future(body, timeout=TIMEOUT_SECONDS, metadata=metadata)

    def refused(
        self, method: str, fields: Mapping[str, Any] | None = None, key: str = ""
    ) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, fields, key)
        error: Any = caught.value
        return error.code(), error.details()

    def entries(self) -> list[pb.AuditEntry]:
        """All entries, oldest first."""
        page = self.call("ListAudit")
        entries = list(page.entries)
        while page.next_page_token:
            page = self.call("ListAudit", {"page_token": page.next_page_token})
            entries += page.entries
        leak_detector.check("in the audit", [repr(entry) for entry in entries])
        return entries[::-1]

    def key_of(self, name: str, role: str) -> str:
        return str(self.call("CreateOperatorKey", {"name": name, "role": role}).key)

    def new(self, act: Callable[[], object]) -> list[pb.AuditEntry]:
        """The entries that `act` leaves."""
        before = len(self.entries())
        act()
        return self.entries()[before:]


@contextmanager
def running(
    api_settings: Mapping[str, Any] | None = None, **overrides: Any
) -> Iterator[AuditedApi]:
    key = canary("operator key")
    settings = ApiSettings(
        database_url=Secret(IN_MEMORY),
        listen_address="127.0.0.1:0",
        operator_key=Secret(key),
        **api_settings or {},
    )
    container = ApiContainer(settings=settings)
    container.host_commands.override(providers.Object(ListeningHosts()))
    for name, make in overrides.items():
        getattr(container, name).override(providers.Object(make(container)))
    with serving(container) as port:
        api = AuditedApi(container, port, key)
        yield api
        api.channel.close()
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


@pytest.fixture
def api() -> Iterator[AuditedApi]:
    with running() as api:
        yield api


def join(api: AuditedApi, who: Evidence = HERE) -> Any:
    return api.call("RegisterServer", {"name": "box", "evidence": evidence_to_message(who)})


def test_a_pinned_authority_and_a_signing_request_are_recorded(
    api: AuditedApi,
) -> None:
    signing_request = canary("signing request").encode()
    (pins, _), (certifies, _) = (
        api.new(lambda: api.refused("CreateJoinKey", {"uses": 1, "pin_authority": True})),
        api.new(
            lambda: api.refused(
                "CreateOperatorKey",
                {"name": "ann", "role": "admin", "signing_request": signing_request},
            )
        ),
    )

    assert pins.target == "uses=1 pin_authority=True"
    assert certifies.target == "name=ann role=admin signing_request=given"


def open_conflict(api: AuditedApi, server_id: int) -> None:
    assert join(api).server_id == server_id
    with pytest.raises(grpc.RpcError):
        join(api, CLONE)


def test_each_call_that_changes_something_leaves_one_entry_when_it_succeeds(
    api: AuditedApi,
) -> None:
    box, web, db = 1, 2, 3
    # The call, its fields, and the server and the target that are recorded.
    calls: list[tuple[str, dict[str, Any], int, str]] = [
        ("CreateServer", {"name": "web", "environment": "prod"}, 0, "name=web environment=prod"),
        ("CreateServer", {"name": "d b"}, 0, "name='d b'"),
        (
            "UpdateServer",
            {"server_id": web, "is_default": True, "update_paths": ["is_default"]},
            web,
            "is_default=True update_paths=is_default",
        ),
        (
            "LabelServer",
            {"server_id": web, "set": {"zone": "b", "region": "nyc"}, "unset": ["tier"]},
            web,
            "set=region,zone unset=tier",
        ),
        ("RefreshServer", {"server_id": web}, web, ""),
        (
            "PutConfiguration",
            {"server_id": web, "name": "limits", "document": f'"{canary(DOCUMENT)}"'},
            web,
            "name=limits",
        ),
        (
            "PutConfiguration",
            {"name": "limits", "document": "{}", "selector": "region=nyc"},
            0,
            "name=limits selector=region=nyc",
        ),
        ("DeleteConfiguration", {"server_id": web, "name": "limits"}, web, "name=limits"),
        ("DeleteServer", {"server_id": web, "force": True}, web, "force=True"),
        ("RestoreServer", {"server_id": web, "name": "web-1"}, web, "name=web-1"),
        ("MergeServers", {"old_server_id": db, "new_server_id": web}, web, "old_server_id=3"),
        ("ApproveServer", {"server_id": web}, web, ""),
        ("RejectServer", {"server_id": web, "reason": "not ours"}, web, "reason='not ours'"),
        ("BanServer", {"server_id": web}, web, ""),
        ("PruneServers", {"dry_run": True}, 0, "dry_run=True"),
        (
            "ResolveConflict",
            {"conflict_id": 1, "resolution": "rename", "new_name": "box-2"},
            0,
            "conflict_id=1 resolution=rename new_name=box-2",
        ),
        ("CreateJoinKey", {"environment": "prod", "uses": 3}, 0, "environment=prod uses=3"),
        ("RevokeJoinKey", {}, 0, "key_id={}"),
        ("CreateOperatorKey", {"name": "ann", "role": "viewer"}, 0, "name=ann role=viewer"),
        ("RevokeOperatorKey", {}, 0, "key_id={}"),
    ]
    open_conflict(api, box)
    assert sorted({method for method, *_ in calls}) == CHANGES

    key_id = ""
    for method, fields, server_id, target in calls:
        if method.startswith("Revoke"):
            fields = {"key_id": key_id}  # noqa: PLW2901
        answers: list[Any] = []
        entries = api.new(lambda: answers.append(api.call(method, fields)))  # noqa: B023
        if "KeyResponse" in type(answers[0]).__name__ and method.startswith("Create"):
            key_id = answers[0].key.partition(".")[0]

        [entry] = entries
        assert (entry.action, entry.server_id) == (method, server_id)
        assert entry.target == target.format(key_id)
        assert (entry.actor, entry.credential_id) == ("OPERATOR_KEY", "OPERATOR_KEY")
        assert (entry.address, entry.outcome) == ("127.0.0.1", "")
        assert entry.at > 0


def test_a_call_that_fails_leaves_a_second_entry_with_the_error(api: AuditedApi) -> None:
    recorded, expected = {}, {}
    for method in CHANGES:
        if method == "PruneServers":
            # It cannot fail.
            continue
        # No server has the id 0. Only a join key may be without any field.
        fields = {"uses": -1} if method == "CreateJoinKey" else {}
        before = len(api.entries())
        _, error_text = api.refused(method, fields)
        recorded[method] = [(entry.action, entry.outcome) for entry in api.entries()[before:]]
        expected[method] = [(method, ""), (method, error_text)]

    assert recorded == expected
    attempt, failure = api.entries()[-2:]
    assert (failure.actor, failure.target) == (attempt.actor, attempt.target)
    assert failure.entry_id > attempt.entry_id


def test_a_call_with_a_low_role_is_recorded_with_its_target_and_not_attempted(
    api: AuditedApi,
) -> None:
    keys = {role: api.key_of("vic", role) for role in ("viewer", "operator")}
    recorded, expected = {}, {}
    for method in NOT_FOR_VIEWERS:
        key = keys["operator" if PERMISSIONS[method].role is Role.ADMIN else "viewer"]
        has_server = "server_id" in REQUESTS[method].DESCRIPTOR.fields_by_name
        fields = {"server_id": UNKNOWN_SERVER} if has_server else {}
        before = len(api.entries())
        code, error_text = api.refused(method, fields, key)
        recorded[method] = [
            (code, entry.action, entry.outcome, entry.actor, entry.credential_id, entry.server_id)
            for entry in api.entries()[before:]
        ]
        denied, key_id = grpc.StatusCode.PERMISSION_DENIED, key.partition(".")[0]
        server_id = fields.get("server_id", 0)
        expected[method] = [(denied, method, error_text, "vic", key_id, server_id)]

    assert recorded == expected


def test_a_malformed_request_with_a_low_role_is_recorded_without_a_target(
    api: AuditedApi,
) -> None:
    key = api.key_of("vic", "viewer")

    def send() -> None:
        with pytest.raises(grpc.RpcError):
            api.send("PutConfiguration", b"\xff" + SECRET.encode(), key)

    [refusal] = api.new(send)

    assert (refusal.action, refusal.actor, refusal.target) == ("PutConfiguration", "vic", "")


def test_an_operator_with_a_token_is_recorded_by_name_and_by_the_providers_id() -> None:
    with provider() as idp, running({**idp.settings, "oidc_name_claim": "email"}) as api:
        ann = idp.token(email="ann@example.com", sub="5f2a", role="operator")
        # Another person with the same name.
        other = idp.token(email="ann@example.com", sub="x" * 300, role="viewer")
        local = idp.token(email="local", sub="77", role="admin")
        api.call("CreateServer", {"name": "web"}, ann)
        api.refused("CreateServer", {"name": "db"}, other)
        code, error_text = api.refused("CreateServer", {"name": "db"}, local)
        key_id = api.call("CreateJoinKey", {"uses": 1}, ann).join_key.key_id
        [join_key] = api.call("ListJoinKeys", key=ann).join_keys
        done, denied, made = api.entries()

    assert (done.actor, done.credential_id) == ("ann@example.com", "oidc:5f2a")
    assert (done.action, done.outcome) == ("CreateServer", "")
    assert denied.actor == "ann@example.com"
    assert denied.credential_id.startswith("oidc:sha256:")
    assert (
        denied.outcome
        == "this call requires the role operator, and this operator has the role viewer"
    )
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert error_text.endswith("its claim email is reserved for callers without a key of their own")
    assert (made.action, made.actor) == ("CreateJoinKey", "ann@example.com")
    assert (join_key.key_id, join_key.created_by) == (key_id, "ann@example.com")


def test_a_read_only_call_leaves_no_entry(api: AuditedApi) -> None:
    join(api)

    def read_everything() -> None:
        for method, fields in product(READS, ({}, {"server_id": 1})):
            # Some calls have no server_id, and some of what they ask for does not exist.
            with suppress(grpc.RpcError, ValueError):
                api.call(method, fields)

    assert [entry.action for entry in api.new(read_everything)] == []


def test_the_calls_of_hosts_leave_no_entry(api: AuditedApi) -> None:
    def live() -> None:
        joined = join(api)
        api.call("Heartbeat", {"server_id": joined.server_id, "epoch": joined.epoch})
        api.call("FetchConfiguration", {"server_id": joined.server_id})
        api.call("Deregister", {"server_id": joined.server_id, "instance_id": HERE.instance_id})

    assert api.new(live) == []


def test_an_unknown_caller_leaves_no_entry(api: AuditedApi) -> None:
    assert api.new(lambda: api.refused("DeleteServer", {"server_id": 1}, "wrong")) == []


def full_of_secrets(method: str) -> bytes:
    """A request with all fields set. Documents, keys and a field that is not in the contract
    contain a secret."""
    request = REQUESTS[method]()
    for field in request.DESCRIPTOR.fields:
        if field.name == "key_id":
            setattr(request, field.name, f"ok-abcdefgh23.{SECRET}")
        elif field.name in ("document", "registration_key"):
            setattr(request, field.name, f'"{SECRET}"')
        elif field.name in ("set", "labels"):
            getattr(request, field.name)["zone"] = SECRET
        elif field.name in ("unset", "update_paths"):
            getattr(request, field.name).append("zone")
        elif field.type == field.TYPE_STRING:
            setattr(request, field.name, f"x jk-abcdefgh23.{SECRET}")
        elif field.type == field.TYPE_BYTES:
            setattr(request, field.name, SECRET.encode())
        else:
            setattr(request, field.name, 1)
    unknown = SECRET.encode()
    # Field 2000, length-delimited.
    return request.SerializeToString() + b"\x82\x7d" + bytes([len(unknown)]) + unknown


def test_no_entry_contains_a_document_or_a_secret(api: AuditedApi) -> None:
    viewer = api.key_of("vic", "viewer")
    without_entry = []
    for method in CHANGES:
        bodies = [full_of_secrets(method)]
        if "key_id" in REQUESTS[method].DESCRIPTOR.fields_by_name:
            bodies.append(REQUESTS[method](key_id=SECRET).SerializeToString())
        # Reading the entries checks them for secrets.
        before = len(api.entries())
        for body, key in product(bodies, (api.key, viewer)):
            with suppress(grpc.RpcError):
                api.send(method, body, key)
        if len(api.entries()) - before < 2 * len(bodies):
            without_entry.append(method)

    assert without_entry == []


class HangingRemovalService:
    """Its DeleteServer waits until `go_on` is set."""

    def __init__(self, container: ApiContainer) -> None:
        self._service = container.removal_service()
        self.started = threading.Event()
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    async def DeleteServer(  # noqa: N802 - it has the name of the call
        self, request: pb.DeleteServerRequest
    ) -> pb.DeleteServerResponse:
        self.started.set()
        await asyncio.to_thread(self.go_on.wait, TIMEOUT_SECONDS)
        answer: pb.DeleteServerResponse = await self._service.DeleteServer(request)
        return answer


def test_a_call_that_never_ended_is_listed_as_an_attempt() -> None:
    with running(removal_service=HangingRemovalService) as api:
        web = api.call("CreateServer", {"name": "web"}).server.server_id
        body = pb.DeleteServerRequest(server_id=web).SerializeToString()

        service: Any = api.container.removal_service()

        def start_and_give_up() -> None:
            call = api.start("DeleteServer", body)
            assert service.started.wait(TIMEOUT_SECONDS)
            call.cancel()

        [entry] = api.new(start_and_give_up)
        service.go_on.set()

    assert (entry.action, entry.server_id, entry.outcome) == ("DeleteServer", web, "")


class AuditWithOwnStore:
    """An audit whose store can be unavailable while everything else works."""

    def __init__(self, container: ApiContainer) -> None:
        self.store = UnreliableStore(MemoryStore())
        record_audit_entry = RecordAuditEntry(self.store, container.clock())
        self._audit = CallAudit(container.operator_calls(), record_audit_entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._audit, name)


def store_of_audit(api: AuditedApi) -> UnreliableStore:
    audit: Any = api.container.call_audit()
    assert isinstance(audit.store, UnreliableStore)
    return audit.store


def test_a_change_that_cannot_be_audited_is_not_made() -> None:
    with running(call_audit=AuditWithOwnStore) as api:
        store_of_audit(api).is_unavailable = True
        code, text = api.refused("CreateServer", {"name": "web"})
        servers = list(api.call("ListServers").servers)

    assert code is grpc.StatusCode.UNAVAILABLE
    assert text == "the store is not available, try again"
    assert servers == []


def test_a_refusal_that_cannot_be_recorded_is_logged_and_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running(call_audit=AuditWithOwnStore) as api:
        key = api.key_of("vic", "viewer")
        store_of_audit(api).is_unavailable = True
        code, _ = api.refused("CreateServer", {"name": "web"}, key)

    assert code is grpc.StatusCode.PERMISSION_DENIED
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.message == (
        f"CreateServer by vic ({key.partition('.')[0]}) was refused or failed, and that could not"
        " be recorded: the store is not available, try again"
    )
    assert not record.exc_info


def test_pages_of_entries_follow_each_other_newest_first(api: AuditedApi) -> None:
    for n in range(5):
        api.call("CreateServer", {"name": f"web-{n}"})
    first = api.call("ListAudit", {"page_size": 3})
    last = api.call("ListAudit", {"page_size": 3, "page_token": first.next_page_token})

    targets = [[entry.target for entry in page.entries] for page in (first, last)]
    assert targets == [["name=web-4", "name=web-3", "name=web-2"], ["name=web-1", "name=web-0"]]
    assert last.next_page_token == ""


def test_entries_can_be_listed_for_one_server_or_one_actor(api: AuditedApi) -> None:
    key = api.key_of("ann", "operator")
    for n in (1, 2):
        api.call("CreateServer", {"name": f"web-{n}"})
        api.call("LabelServer", {"server_id": n, "set": {"zone": "a"}}, key)
    of_server = api.call("ListAudit", {"server_id": 2}).entries
    of_actor = api.call("ListAudit", {"actor": "ann"}).entries

    assert [(entry.action, entry.server_id) for entry in of_server] == [("LabelServer", 2)]
    assert [(entry.actor, entry.server_id) for entry in of_actor] == [("ann", 2), ("ann", 1)]


@pytest.mark.parametrize(
    "fields", [{"page_size": 101}, {"page_token": "rubbish"}, {"actor": "an\nn"}]
)
def test_an_invalid_request_for_entries_is_answered_with_the_field(
    api: AuditedApi, fields: dict[str, Any]
) -> None:
    code, text = api.refused("ListAudit", fields)

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith(next(iter(fields)))


@pytest.mark.parametrize("limit", [1, 100, 101, 150, 200, 1000])
def test_a_client_gets_the_requested_number_of_entries_across_pages(
    api: AuditedApi, limit: int
) -> None:
    record = api.container.call_audit().record_audit_entry
    for n in range(200):
        record(Operator("ann", Role.OPERATOR, "ok-abcdefgh23"), f"Call{n}")
    client = OperatorClient(api.address, api.key)
    actions = [entry.action for entry in client.audit(limit=limit)]
    client.close()

    assert actions == [f"Call{n}" for n in reversed(range(200))][:limit]
