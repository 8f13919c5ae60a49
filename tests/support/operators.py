"""Operators with keys and certificates, and the use cases that create and identify them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.access.certificates import Certificates
from application.access.identify_operator import IdentifyOperator
from application.operators.create_operator_certificate import CreateOperatorCertificate
from application.operators.create_operator_key import CreateOperatorKey
from application.operators.list_operator_keys import ListOperatorKeys
from application.operators.revoke_operator_key import RevokeOperatorKey
from domain.errors import InvalidField
from domain.operator_key import Operator
from domain.role import Role
from tests.support.builders import NOW
from tests.support.canary_keys import CanaryKeys
from tests.support.fleet import UnreliableStore

HERE, ELSEWHERE = True, False
REQUEST = b"a signing request"
DIGEST = "0123456789abcdef" * 4
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class FakeAuthority:
    """Records what it issues."""

    bundle: str = "bundle"
    digest: str = DIGEST
    expires_at: datetime = NOW + 3650 * DAY
    issued: list[tuple[str, timedelta]] = field(default_factory=list)
    common_names: list[str] = field(default_factory=list)
    error: Exception | None = None

    def has_issued(self, chain: bytes) -> bool:
        return chain == b"by this one"

    def check(self, signing_request: bytes) -> None:
        if signing_request != REQUEST:
            raise InvalidField("signing_request", "must be another")

    def issue(
        self, signing_request: bytes, spiffe_id: str, common_name: str, lifetime: timedelta
    ) -> str:
        if self.error:
            raise self.error
        self.check(signing_request)
        self.issued.append((spiffe_id, lifetime))
        self.common_names.append(common_name)
        return f"certificate of {spiffe_id}"


class Access:
    """The operators of one API. `setting` is its OPERATOR_KEY."""

    def __init__(self, setting: str | None = None) -> None:
        self.store, self.clock = UnreliableStore(MemoryStore()), MemoryClock(NOW)
        self.authority, new_key = FakeAuthority(), CanaryKeys()
        self.certificates = Certificates(self.authority, "example.com")
        self.create = CreateOperatorKey(self.store, self.clock, new_key)
        self.create_certificate = CreateOperatorCertificate(
            self.store, self.clock, new_key, self.certificates
        )
        self.revoke = RevokeOperatorKey(self.store, self.clock)
        self.list = ListOperatorKeys(self.store)
        self.identify = IdentifyOperator(self.store, self.clock, setting)

    def key(
        self, name: str = "ann", role: Role = Role.ADMIN, expires_in: timedelta | None = None
    ) -> str:
        return str(self.create(name, role, expires_in, "local")[1])

    def certify(self, role: Role = Role.ADMIN, expires_in: timedelta | None = None) -> str:
        return self.create_certificate("ann", role, expires_in, REQUEST, "bob")[0].key_id

    def identify_with(
        self, presented_key: str | None = None, *, on_this_machine: bool = HERE
    ) -> Operator:
        return self.identify(presented_key, "10.0.0.7", on_this_machine=on_this_machine)

    def identify_certified(
        self, certified_as: str = "", presented_key: str | None = None
    ) -> Operator:
        return self.identify(
            presented_key, "10.0.0.7", on_this_machine=ELSEWHERE, certified_as=certified_as
        )
