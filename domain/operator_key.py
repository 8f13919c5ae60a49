"""The keys that identify operators."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.errors import InvalidField
from domain.naming import check_text
from domain.role import Role

MAX_NAME_LENGTH = 100
# The names of operators without a key of their own: a local caller without a key, and a caller with
# the key of the OPERATOR_KEY setting. All others have the name of their key.
LOCAL = "local"
BY_SETTING = "OPERATOR_KEY"


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """`name` is the owner, a person or a program. It never expires if `expires_at` is None."""

    key_id: str
    digest: str = field(repr=False)
    name: str
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        expired = self.expires_at is not None and self.expires_at <= now
        return self.revoked_at is None and not expired


@dataclass(frozen=True, slots=True)
class Operator:
    """The caller of an operator's call. `credential_id` is the public id of the credential."""

    name: str
    role: Role
    credential_id: str
    address: str = ""


def check_key_name(name: str) -> None:
    """Raise InvalidField unless it has 1 to 100 printable characters, no space at the ends."""
    if not name:
        raise InvalidField("name", "is required")
    check_text("name", name, MAX_NAME_LENGTH)
    if name in (LOCAL, BY_SETTING):
        raise InvalidField("name", "is reserved for callers without a key of their own")
