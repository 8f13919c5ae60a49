"""Which callers may make which calls: every call of the contract, by every kind of caller."""

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dependency_injector import providers
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.grpc.messages.metadata import STATUS_DETAILS
from adapters.grpc.server.permissions import (
    PERMISSIONS,
    SERVICE,
    PermissionMismatch,
    check_permissions,
)
from adapters.memory.clock import MemoryClock
from adapters.oidc.operator_tokens import MAX_TOKEN_LENGTH
from adapters.x509.new_signing_request import new_signing_request
from application.ports.operator_tokens import ProviderUnavailable
from application.ports.store.store import StoreUnavailable
from domain.errors import (
    CertificateMismatch,
    CredentialRequired,
    LocalOperatorsOnly,
    NotAnOperator,
    OperatorCertificateRefused,
    OperatorKeyRefused,
    OperatorKeyRequired,
    RoleTooLow,
)
from domain.operator_key import Operator
from domain.role import Role
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_keys import CanaryKeys
from tests.support.canary_secrets import canary, leak_detector
from tests.support.certified import SERVER, PresentedCertificate, Site, reaches
from tests.support.http2 import BEGINNING, DATA, END_STREAM, call_headers, frame, message_prefix
from tests.support.oidc_provider import DISCOVERY, Provider, provider
from tests.support.services.ports import free_port

SETTING = canary("operator key")
REGISTRATION_KEY = canary("registration key")
NAMES = [method.name for method in SERVICE.methods]
OWNERS = {
    "viewer": Role.VIEWER,
    "operator": Role.OPERATOR,
    "admin": Role.ADMIN,
    "revoked": Role.ADMIN,
    "expired": Role.ADMIN,
}
HOUR = timedelta(hours=1)
NO_ROLE = NotAnOperator("role", "contains none of viewer, operator, admin")

Metadata = Sequence[tuple[str, str]]


def bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)


@dataclass
class Api:
    """An API in this process. `keys` are the operators' keys by their owners."""

    container: ApiContainer
    address: str
    channel: grpc.Channel
    keys: dict[str, str]
    clock: MemoryClock = field(default_factory=MemoryClock)

    def ask(self, name: str, request: Message | bytes = b"", sent: Metadata = ()) -> Any:
        """The response or the error."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            call: Any = self.channel.unary_unary(f"/{SERVICE.full_name}/{name}")
            return call(body, metadata=sent)
        except grpc.RpcError as error:
            refused: Any = error
            leak_detector.check("in a refusal", (refused.details(), refused.trailing_metadata()))
            return refused


@contextmanager
def running(*owners: str, audit: object = None, **api_settings: Any) -> Iterator[Api]:
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(IN_MEMORY),
            listen_address="127.0.0.1:0",
            registration_key=Secret(REGISTRATION_KEY),
            # These tests make many calls without a valid key, and check the answer to each.
            max_unauthenticated_calls_per_second=1_000_000,
            **api_settings,
        )
    )
    clock = MemoryClock()
    container.clock.override(providers.Object(clock))
    container.make_key.override(providers.Object(CanaryKeys()))
    if audit:
        container.call_audit.override(providers.Object(audit))
    access, keys = container.operator_key_service(), {}
    for owner in owners:
        lifetime = HOUR if owner == "expired" else None
        key, plaintext_key = access.create_operator_key(owner, OWNERS[owner], lifetime, "somebody")
        keys[owner] = str(plaintext_key)
        if owner == "revoked":
            access.revoke_operator_key(key.key_id)
        if owner == "expired":
            clock.advance(HOUR)
    with serving(container) as port:
        address = f"127.0.0.1:{port}"
        with grpc.insecure_channel(address) as channel:
            yield Api(container, address, channel, keys, clock)
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


def access_of(answer: Any) -> str:
    """How the API answered the question whether the caller may make the call."""
    if not isinstance(answer, grpc.RpcError):
        return "let in"
    error: Any = answer
    text = error.details()
    if text in (str(CredentialRequired(0)), str(CredentialRequired(ANOTHER_SERVER))):
        # Only a host can have this credential, so every other caller may ask.
        return "let in"
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        assert text in map(
            str, (OperatorKeyRequired(), OperatorKeyRefused(), OperatorCertificateRefused())
        )
        return "UNAUTHENTICATED"
    if text == str(CertificateMismatch(CERTIFIED_SERVER, ANOTHER_SERVER)):
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        return "of another server"
    denied = (str(LocalOperatorsOnly()), str(NO_ROLE))
    if text in denied or text.startswith("this call requires the role"):
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        return "PERMISSION_DENIED"
    assert error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED)
    return "let in"


def expected_of(name: str, role: Role | None) -> str:
    needed = PERMISSIONS[name].role
    if needed is None:
        return "let in"
    if role is None:
        return "UNAUTHENTICATED"
    return "let in" if role.includes(needed) else "PERMISSION_DENIED"


@pytest.fixture(scope="module")
def idp() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def apis(idp: Provider) -> Iterator[dict[str, Api]]:
    """APIs without operators' keys, with those of OWNERS, also with OPERATOR_KEY, with only an OIDC
    provider, and with all of these."""
    with (
        running() as without,
        running(*OWNERS) as with_keys,
        running(*OWNERS, operator_key=Secret(SETTING)) as with_setting,
        running(**idp.settings) as with_provider,
        running(*OWNERS, operator_key=Secret(SETTING), **idp.settings) as with_all,
    ):
        yield {
            "none": without,
            "keys": with_keys,
            "setting": with_setting,
            "provider": with_provider,
            "all": with_all,
        }


# What the API has, what the caller sends, and the role that it must get.
CALLERS = [
    ("none", "nothing", Role.ADMIN),
    ("none", "a wrong key", None),
    ("none", "the registration key", None),
    ("none", "OPERATOR_KEY", None),
    *((has, "a token of an admin", None) for has in ("none", "keys", "setting")),
    *(("provider", sent, None) for sent in ("nothing", "a wrong key", "the registration key")),
    *(
        (has, sent, role)
        for has in ("provider", "all")
        for sent, role in [
            ("a token of a viewer", Role.VIEWER),
            ("a token of an operator", Role.OPERATOR),
            ("a token of an admin", Role.ADMIN),
            ("an expired token", None),
            ("a token by another key", None),
            ("a token of an admin elsewhere", None),
        ]
    ),
    *(
        (has, sent, role)
        for has in ("keys", "setting", "all")
        for sent, role in [
            ("nothing", None),
            ("a wrong key", None),
            ("an unknown key", None),
            ("a wrong secret", None),
            ("the registration key", None),
            ("viewer", Role.VIEWER),
            ("operator", Role.OPERATOR),
            ("admin", Role.ADMIN),
            ("revoked", None),
            ("expired", None),
            ("OPERATOR_KEY", None if has == "keys" else Role.ADMIN),
        ]
    ),
]


TOKENS: dict[str, dict[str, Any]] = {
    "a token of a viewer": {"role": "viewer"},
    "a token of an operator": {"role": ["viewer", "operator"]},
    "a token of an admin": {"role": "admin"},
    "an expired token": {"role": "admin", "exp": 1},
    "a token by another key": {"role": "admin", "number": 1},
    "a token of an admin elsewhere": {"role": "admin", "aud": "another program"},
}


def metadata_of(api: Api, sent: str, idp: Provider) -> Metadata:
    match sent:
        case _ if sent in TOKENS:
            return bearer(idp.token(**TOKENS[sent]))
        case "nothing":
            return ()
        case "a wrong key":
            return bearer(canary("other key"))
        case "an unknown key":
            return bearer(f"ok-zzzzzzzzzz.{canary('secret a')}")
        case "a wrong secret":
            return bearer(f"{api.keys['admin'][:13]}.{canary('other key')}")
        case "the registration key":
            return bearer(REGISTRATION_KEY)
        case "OPERATOR_KEY":
            return bearer(SETTING)
        case _:
            return bearer(api.keys[sent])


@pytest.mark.parametrize(("has", "sent", "role"), CALLERS)
def test_each_caller_makes_the_calls_of_its_role_and_no_others(
    apis: dict[str, Api], idp: Provider, has: str, sent: str, role: Role | None
) -> None:
    api = apis[has]
    metadata = metadata_of(api, sent, idp)

    assert {name: access_of(api.ask(name, sent=metadata)) for name in NAMES} == {
        name: expected_of(name, role) for name in NAMES
    }


# Callers with a certificate

CERTIFIED_SERVER, ANOTHER_SERVER = 1, 2
OF_A_SERVER = [
    method.name
    for method in SERVICE.methods
    if PERMISSIONS[method.name].is_for_hosts and "server_id" in method.input_type.fields_by_name
]


@dataclass
class CertifiedApi:
    """An API with a CA, and clients with certificates, valid or not, by name."""

    api: Api
    site: Site
    address: str
    presented: dict[str, PresentedCertificate]

    def ask_all(self, presented: str, sent: Metadata = ()) -> dict[str, Any]:
        """Make every call. Those about a server are about ANOTHER_SERVER."""
        credentials = self.presented[presented].credentials(self.site.ca_file.read_bytes())
        with grpc.secure_channel(self.address, credentials) as channel:
            api = Api(self.api.container, self.address, channel, {})
            return {name: api.ask(name, about(ANOTHER_SERVER, name), sent) for name in NAMES}


def about(server_id: int, name: str) -> Message:
    method = SERVICE.methods_by_name[name]
    message = GetMessageClass(method.input_type)
    has_one = "server_id" in method.input_type.fields_by_name
    return message(server_id=server_id) if has_one else message()


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CertifiedApi]:
    site = Site(tmp_path_factory.mktemp("site"))
    mutual_tls = f"127.0.0.1:{free_port()}"
    paths = {name.lower(): Path(path) for name, path in site.variables.items()}
    with running("viewer", mtls_listen_address=mutual_tls, **paths) as api:
        access = api.container.operator_key_service()
        presented: dict[str, PresentedCertificate] = {}
        for owner, role in OWNERS.items():
            key, request = new_signing_request()
            lifetime = HOUR if owner == "expired" else None
            row, certificate = access.create_operator_certificate(
                owner, role, lifetime, request, "somebody"
            )
            presented[owner] = PresentedCertificate(certificate, key)
            if owner == "revoked":
                access.revoke_operator_key(row.key_id)
            if owner == "expired":
                api.clock.advance(HOUR)
        admin = f"operator/{presented['admin'].name}"
        server = f"spiffe://manmanv2/server/{CERTIFIED_SERVER}"
        a_key = api.keys["viewer"].partition(".")[0]
        for name, uris in {
            "a server": [server],
            "another trust domain": [f"spiffe://other/{admin}"],
            "a server of another trust domain": ["spiffe://other/server/1"],
            "two URIs": [f"spiffe://manmanv2/{admin}", server],
            "no URI": [],
            "a path below": [f"spiffe://manmanv2/{admin}/x"],
            "the id of a key": [f"spiffe://manmanv2/operator/{a_key}"],
            "an id of nobody": ["spiffe://manmanv2/operator/oc-7777777777"],
        }.items():
            presented[name] = site.gives(uris)
        yield CertifiedApi(api, site, mutual_tls, presented)


# The certificate, what the caller also sends, and the role that it must get.
CERTIFIED_CALLERS = [
    ("viewer", "nothing", Role.VIEWER),
    ("operator", "nothing", Role.OPERATOR),
    ("admin", "nothing", Role.ADMIN),
    ("revoked", "nothing", None),
    ("expired", "nothing", None),
    ("a server", "nothing", None),
    ("another trust domain", "nothing", None),
    ("a server of another trust domain", "nothing", None),
    ("two URIs", "nothing", None),
    ("no URI", "nothing", None),
    ("a path below", "nothing", None),
    ("the id of a key", "nothing", None),
    ("an id of nobody", "nothing", None),
    # A key or token counts, whatever the certificate is.
    ("admin", "viewer", Role.VIEWER),
    ("admin", "a wrong key", None),
    ("no URI", "viewer", Role.VIEWER),
    ("a server", "viewer", Role.VIEWER),
]


@pytest.mark.parametrize(("presented", "sent", "role"), CERTIFIED_CALLERS)
def test_each_caller_with_a_certificate_makes_the_calls_of_its_role_and_of_its_server(
    certified: CertifiedApi, idp: Provider, presented: str, sent: str, role: Role | None
) -> None:
    answers = certified.ask_all(presented, metadata_of(certified.api, sent, idp))

    expected = {name: expected_of(name, role) for name in NAMES}
    if presented == "a server":
        expected |= dict.fromkeys(OF_A_SERVER, "of another server")
    assert {name: access_of(answer) for name, answer in answers.items()} == expected


def test_only_these_calls_require_the_servers_own_certificate() -> None:
    assert set(OF_A_SERVER) == {
        "Heartbeat",
        "FetchConfiguration",
        "Deregister",
        "RenewCertificate",
    }


def test_a_client_without_a_valid_certificate_cannot_connect_to_the_mutual_tls_port(
    certified: CertifiedApi, tmp_path: Path
) -> None:
    site, root = certified.site, certified.site.ca_file.read_bytes()
    name = "spiffe://manmanv2/server/1"
    for presented in (
        None,
        PresentedCertificate(site.tls_cert.read_text(), site.tls_key.read_text()),
        site.gives([name], use=SERVER),
        site.gives([name], expired=True),
        Site(tmp_path / "other").gives([name]),
    ):
        assert not reaches(certified.address, root, presented)
    assert reaches(certified.address, root, site.gives([name]))
    assert reaches(certified.api.address, root, None)


def test_the_name_of_a_call_shows_whether_it_changes_something() -> None:
    by_name = {
        name: rule.role is not None and not name.startswith(("List", "Get", "Explain"))
        for name, rule in PERMISSIONS.items()
    }

    assert {name: rule.changes for name, rule in PERMISSIONS.items()} == by_name


def test_viewers_change_nothing() -> None:
    changes = [name for name, rule in PERMISSIONS.items() if rule.changes]

    assert [name for name in changes if PERMISSIONS[name].role is Role.VIEWER] == []


def test_only_these_calls_are_for_hosts_or_for_admins() -> None:
    def of(role: Role | None) -> set[str]:
        return {name for name, rule in PERMISSIONS.items() if rule.role is role}

    assert of(None) == {
        "RegisterServer",
        "Heartbeat",
        "FetchConfiguration",
        "Deregister",
        "RenewCertificate",
        "GetTrustBundle",
    }
    assert of(Role.ADMIN) == {
        "CreateOperatorKey",
        "ListOperatorKeys",
        "RevokeOperatorKey",
        "ListAudit",
    }


def test_a_call_without_a_permission_is_not_served() -> None:
    fewer = {name: rule for name, rule in PERMISSIONS.items() if name != "GetServer"}
    check_permissions(NAMES)
    for calls, rules in (
        ([*NAMES, "GetServer2"], PERMISSIONS),
        (NAMES, fewer),
        (NAMES[1:], PERMISSIONS),
    ):
        with pytest.raises(PermissionMismatch):
            check_permissions(calls, rules)


def test_the_error_for_a_low_role_names_the_required_role(apis: dict[str, Api]) -> None:
    api = apis["keys"]
    viewer = api.ask("DeleteServer", sent=bearer(api.keys["viewer"]))
    operator = api.ask("ListAudit", sent=bearer(api.keys["operator"]))

    assert viewer.code() is operator.code() is grpc.StatusCode.PERMISSION_DENIED
    assert viewer.details() == (
        "this call requires the role operator, and this operator has the role viewer"
    )
    assert operator.details() == (
        "this call requires the role admin, and this operator has the role operator"
    )


@pytest.mark.parametrize(
    "body", [b"\xff" * 20, b"x" * 2 * 1024 * 1024], ids=["rubbish", "too large"]
)
def test_an_unauthorized_caller_learns_nothing_about_its_request_body(
    apis: dict[str, Api], body: bytes
) -> None:
    api = apis["keys"]

    assert access_of(api.ask("CreateServer", body)) == "UNAUTHENTICATED"
    viewer = api.ask("CreateServer", body, bearer(api.keys["viewer"]))
    assert access_of(viewer) == "PERMISSION_DENIED"


@pytest.mark.parametrize("sent", ["nothing", "a wrong secret", "revoked", "expired", "viewer"])
def test_an_unauthorized_caller_gets_the_same_error_for_known_and_unknown_servers(
    apis: dict[str, Api], idp: Provider, sent: str
) -> None:
    api = apis["keys"]
    operator = bearer(api.keys["operator"])
    api.ask("CreateServer", pb.CreateServerRequest(name="is-there"), operator)
    role = Role.VIEWER if sent == "viewer" else None
    metadata = metadata_of(api, sent, idp)

    for name in NAMES:
        request = GetMessageClass(SERVICE.methods_by_name[name].input_type)
        if (
            expected_of(name, role) == "let in"
            or "server_id" not in request.DESCRIPTOR.fields_by_name
        ):
            continue
        known, unknown = (
            status_in(api.ask(name, request(server_id=server_id), metadata))
            for server_id in (1, 4711)
        )
        assert known == unknown, name


def status_in(error: Any) -> tuple[object, ...]:
    [status] = [item.value for item in error.trailing_metadata() if item.key == STATUS_DETAILS]
    return error.code(), error.details(), status


def test_every_invalid_key_or_token_gets_the_same_error(
    apis: dict[str, Api], idp: Provider
) -> None:
    api = apis["all"]
    wrong = ("a wrong key", "an unknown key", "a wrong secret", "revoked", "expired")
    tokens = ("an expired token", "a token by another key", "a token of an admin elsewhere")
    refused = [
        api.ask("ListServers", sent=metadata_of(api, sent, idp)) for sent in (*wrong, *tokens)
    ]

    assert {(error.code(), error.details()) for error in refused} == {
        (grpc.StatusCode.UNAUTHENTICATED, str(OperatorKeyRefused()))
    }
    assert len({status_in(error) for error in refused}) == 1
    assert api.ask("ListServers").details() == str(OperatorKeyRequired())


def test_a_valid_token_without_a_role_gets_an_error_with_the_possible_roles(
    apis: dict[str, Api], idp: Provider
) -> None:
    cook = bearer(idp.token(role=["cook"]))
    error = apis["provider"].ask("ListServers", sent=cook)

    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == (
        "the token is valid, but does not make the caller an operator: its claim role"
        " contains none of viewer, operator, admin"
    )
    assert {access_of(apis["provider"].ask(name, sent=cook)) for name in NAMES} == {
        "let in",
        "PERMISSION_DENIED",
    }


def test_a_long_token_is_accepted_every_time(apis: dict[str, Api], idp: Provider) -> None:
    sent = bearer(idp.token(role="viewer", groups=["x" * 30] * 250))

    assert MAX_TOKEN_LENGTH - 500 < len(sent[0][1]) < MAX_TOKEN_LENGTH
    for _ in range(20):
        assert isinstance(apis["provider"].ask("ListServers", sent=sent), bytes)


def test_a_token_that_cannot_be_checked_now_is_answered_unavailable() -> None:
    with provider() as idp, running(**idp.settings) as api:
        sent = bearer(idp.token())
        idp.stop()
        error = api.ask("ListServers", sent=sent)
        idp.start_again()

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == str(ProviderUnavailable())


def test_operator_keys_work_while_the_oidc_provider_hangs() -> None:
    with (
        provider() as idp,
        running("viewer", **idp.settings) as api,
        ThreadPoolExecutor(1) as others,
    ):
        idp.answers[DISCOVERY] = idp.hang
        waiting = others.submit(api.ask, "ListServers", sent=bearer(idp.token()))
        while not idp.asked:
            time.sleep(0.001)
        key, token = bearer(api.keys["viewer"]), bearer(idp.token())
        answers = [access_of(api.ask("ListServers", sent=key)) for _ in range(20)]
        tokens = [api.ask("ListServers", sent=token).code() for _ in range(20)]

        assert set(answers) == {"let in"}
        assert set(tokens) == {grpc.StatusCode.UNAVAILABLE}
        assert not waiting.done()
        idp.released.set()
    assert len(idp.asked) == 1


def test_an_operator_call_from_another_machine_needs_a_key(apis: dict[str, Api]) -> None:
    def ask(has: str, peer: str) -> Operator:
        container = apis[has].container
        access = container.operator_authenticator()
        return asyncio.run(access.identify(peer, ()))

    assert ask("none", "ipv4:127.0.0.1:4711") == Operator("local", Role.ADMIN, "", "127.0.0.1")
    with pytest.raises(LocalOperatorsOnly):
        ask("none", "ipv4:10.0.0.7:4711")
    for has in ("keys", "setting", "provider", "all"):
        with pytest.raises(OperatorKeyRequired):
            ask(has, "ipv4:10.0.0.7:4711")


def test_a_revoked_key_is_refused_at_the_next_call() -> None:
    with running("admin", "viewer") as api:
        admin, viewer = bearer(api.keys["admin"]), bearer(api.keys["viewer"])
        assert access_of(api.ask("ListServers", sent=viewer)) == "let in"
        revoke = pb.RevokeOperatorKeyRequest(key_id=api.keys["viewer"].partition(".")[0])
        answer = pb.RevokeOperatorKeyResponse.FromString(
            api.ask("RevokeOperatorKey", revoke, admin)
        )

        assert answer.operator_key.revoked_at > 0
        assert access_of(api.ask("ListServers", sent=viewer)) == "UNAUTHENTICATED"
        assert access_of(api.ask("ListServers", sent=admin)) == "let in"


def test_the_first_admin_key_is_required_on_this_machine_and_accepted_from_others() -> None:
    with running() as api:
        request = pb.CreateOperatorKeyRequest(name="ann", role="admin", expires_in_seconds=60)
        answer = pb.CreateOperatorKeyResponse.FromString(api.ask("CreateOperatorKey", request))
        key = answer.operator_key

        assert answer.key == f"ok-aaaaaaaaaa.{canary('secret a')}"
        assert (key.key_id, key.name, key.role) == ("ok-aaaaaaaaaa", "ann", "admin")
        assert key.created_by == "local"
        assert key.expires_at == key.created_at + 60
        assert access_of(api.ask("ListServers")) == "UNAUTHENTICATED"

        sent = bearer(answer.key)
        request = pb.CreateOperatorKeyRequest(name="bob", role="viewer")
        second = pb.CreateOperatorKeyResponse.FromString(
            api.ask("CreateOperatorKey", request, sent)
        )

        assert (second.operator_key.created_by, second.operator_key.expires_at) == ("ann", 0)

        listed: list[pb.OperatorKey] = []
        page = pb.ListOperatorKeysResponse(next_page_token="")
        while page.next_page_token or not listed:
            next_page = pb.ListOperatorKeysRequest(page_size=1, page_token=page.next_page_token)
            page = pb.ListOperatorKeysResponse.FromString(
                api.ask("ListOperatorKeys", next_page, sent)
            )
            leak_detector.check("in a list of keys", page)
            listed += page.operator_keys

        assert listed == [key, second.operator_key]


@pytest.mark.parametrize(
    ("name", "request_", "problem"),
    [
        ("CreateOperatorKey", pb.CreateOperatorKeyRequest(role="viewer"), "name is required"),
        (
            "CreateOperatorKey",
            pb.CreateOperatorKeyRequest(name="ann", role="root"),
            "role must be one of viewer, operator, admin",
        ),
        (
            "CreateOperatorKey",
            pb.CreateOperatorKeyRequest(name="ann", role="viewer", expires_in_seconds=-1),
            "expires_in_seconds must be from 0 to 3153600000",
        ),
        (
            "CreateOperatorKey",
            pb.CreateOperatorKeyRequest(name="ann", role="viewer", expires_in_seconds=2**63 - 1),
            "expires_in_seconds must be from 0 to 3153600000",
        ),
        (
            "RevokeOperatorKey",
            pb.RevokeOperatorKeyRequest(key_id=f"ok-aaaaaaaaaa.{canary('secret a')}"),
            "key_id must be ok- or oc- followed by 10 letters and digits, without the secret",
        ),
        ("RevokeOperatorKey", pb.RevokeOperatorKeyRequest(key_id="ok-zzzzzzzzzz"), ""),
        (
            "ListOperatorKeys",
            pb.ListOperatorKeysRequest(page_token="YWZ0ZXI6Nw=="),
            "page_token is not a valid page token",
        ),
        (
            "ListOperatorKeys",
            pb.ListOperatorKeysRequest(page_token="🔑"),
            "page_token is not a valid page token",
        ),
    ],
)
def test_an_invalid_request_about_keys_is_answered_with_the_field(
    apis: dict[str, Api], name: str, request_: Message, problem: str
) -> None:
    api = apis["keys"]
    error = api.ask(name, request_, bearer(api.keys["admin"]))

    if problem:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == problem
    else:
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == "operator key ok-zzzzzzzzzz does not exist"


class FakeAudit:
    """Records calls in memory, or fails with `failure`."""

    def __init__(self) -> None:
        self.records: list[tuple[str, ...]] = []
        self.failure: Exception | None = None

    async def attempted(self, operator: Operator, name: str, request: Message) -> None:
        if self.failure:
            raise self.failure
        self.records.append(("attempted", operator.name, name, str(request).strip()))

    async def refused(
        self, operator: Operator, name: str, request: Message | None, error_text: str
    ) -> None:
        target = "-" if request is None else str(request).strip()
        self.records.append(("refused", operator.name, name, target, error_text))


def test_a_change_is_audited_before_it_is_tried_and_again_if_it_fails() -> None:
    audit = FakeAudit()
    with running("operator", audit=audit) as api:
        operator = bearer(api.keys["operator"])
        create = pb.CreateServerRequest(name="web")
        for _ in range(2):
            api.ask("CreateServer", create, operator)
        api.ask("ListServers", sent=operator)
        api.ask("GetServer", pb.GetServerRequest(server_id=42), operator)
        api.ask("CreateServer", b"\xff", operator)

    assert audit.records == [
        ("attempted", "operator", "CreateServer", 'name: "web"'),
        ("attempted", "operator", "CreateServer", 'name: "web"'),
        (
            "refused",
            "operator",
            "CreateServer",
            'name: "web"',
            "a server named 'web' already exists",
        ),
    ]


def test_a_call_with_a_low_role_is_audited_and_one_without_a_valid_key_is_not() -> None:
    audit = FakeAudit()
    with running("admin", "viewer", "revoked", audit=audit) as api:
        delete = pb.DeleteServerRequest(server_id=42)
        api.ask("DeleteServer", delete)
        api.ask("DeleteServer", delete, bearer(api.keys["revoked"]))
        for body in (delete, b"\xff"):
            api.ask("DeleteServer", body, bearer(api.keys["viewer"]))
        api.ask("ListAudit", sent=bearer(api.keys["viewer"]))

    assert audit.records == [
        ("refused", "viewer", "DeleteServer", "server_id: 42", str(RoleTooLow(*TOO_LOW))),
        ("refused", "viewer", "DeleteServer", "-", str(RoleTooLow(*TOO_LOW))),
        ("refused", "viewer", "ListAudit", "", str(RoleTooLow(Role.ADMIN, Role.VIEWER))),
    ]


TOO_LOW = (Role.OPERATOR, Role.VIEWER)


def test_a_change_that_cannot_be_audited_is_not_made() -> None:
    audit = FakeAudit()
    audit.failure = StoreUnavailable()
    with running("operator", audit=audit) as api:
        operator = bearer(api.keys["operator"])
        created = api.ask("CreateServer", pb.CreateServerRequest(name="web"), operator)
        servers = pb.ListServersResponse.FromString(api.ask("ListServers", sent=operator))

    assert created.code() is grpc.StatusCode.UNAVAILABLE
    assert not servers.servers


def test_an_internal_error_is_audited_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = FakeAudit()
    with running("operator", audit=audit) as api:

        def fail(*_: object) -> None:
            # No canary: the log may contain the text of an unexpected error, the audit must not.
            raise RuntimeError("postgresql://manman:unseen@db/manman")

        monkeypatch.setattr("application.servers.create_server.check_name", fail)
        api.ask("CreateServer", b"", bearer(api.keys["operator"]))

    assert [record[-1] for record in audit.records] == ["", "internal error"]


# Headers that gRPC clients send, and others that may still arrive.
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
SCHEMES = st.sampled_from(["", "Bearer ", "bearer ", "Bearer", "Basic ", "Bearer ok-aaaaaaaaaa."])


@settings(deadline=None, max_examples=100)
@given(scheme=SCHEMES, text=PRINTABLE, name=st.sampled_from(NAMES))
def test_no_other_text_in_the_authorization_header_is_accepted(
    apis: dict[str, Api], scheme: str, text: str, name: str
) -> None:
    for api in apis.values():
        answer = api.ask(name, sent=(("authorization", f"{scheme}{text}"),))

        assert access_of(answer) == expected_of(name, None)


@settings(deadline=None, max_examples=100)
@given(
    values=st.lists(
        st.text(st.characters()) | st.binary() | st.binary().map(b"Bearer ".__add__),
        min_size=1,
        max_size=3,
    ),
    on_this_machine=st.booleans(),
)
def test_no_metadata_that_grpc_can_deliver_causes_an_internal_error(
    apis: dict[str, Api], values: list[str | bytes], on_this_machine: bool
) -> None:
    peer = "ipv4:127.0.0.1:1" if on_this_machine else "ipv4:10.0.0.7:1"
    for api in apis.values():
        access = api.container.operator_authenticator()
        metadata = [("authorization", value) for value in values]
        with pytest.raises(OperatorKeyRefused):
            asyncio.run(access.identify(peer, metadata))


@settings(deadline=None, max_examples=50)
@given(scheme=SCHEMES, value=st.binary(max_size=60))
def test_no_bytes_in_the_authorization_header_are_accepted(
    apis: dict[str, Api], scheme: str, value: bytes
) -> None:
    for api in apis.values():
        assert status_of_raw_call(api.address, scheme.encode() + value) == b"16"


def test_a_call_written_by_hand_is_accepted_with_the_key(apis: dict[str, Api]) -> None:
    address = apis["setting"].address

    assert status_of_raw_call(address, f"Bearer {SETTING}".encode()) == b"0"


def status_of_raw_call(address: str, authorization: bytes) -> bytes:
    """gRPC's code for ListServers with these bytes in the header, which no gRPC client can send."""
    host, port = address.split(":")
    headers = call_headers(1, "/manman.v1.ManManAPI/ListServers", {b"authorization": authorization})
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(BEGINNING + headers + frame(DATA, END_STREAM, 1, message_prefix(0)))
        answer = b""
        while b"grpc-status" not in answer and (part := connection.recv(65536)):
            answer += part
    status = answer.partition(b"grpc-status")[2]
    return status[1 : 1 + status[0]]
