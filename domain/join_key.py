"""The keys that hosts join with, and which hosts each key admits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.errors import InvalidField, JoinKeyRefused
from domain.labels import check_labels
from domain.naming import check_environment, check_text

MAX_PATTERN_LENGTH = 255
MAX_USES = 1_000_000
MIN_LIFETIME_SECONDS = 60
MAX_LIFETIME_SECONDS = 10 * 365 * 86400


@dataclass(frozen=True, slots=True)
class JoinKey:
    """An empty `environment` or `name_pattern` admits any.

    `uses` is the number of servers that may join with the key, None for unlimited. `labels` become
    operators' labels of each server that joins.
    """

    key_id: str
    digest: str = field(repr=False)
    created_at: datetime
    created_by: str
    environment: str = ""
    name_pattern: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    uses: int | None = None
    expires_at: datetime | None = None
    ephemeral: bool = False
    pre_approved: bool = False
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewJoinKey:
    """The terms of a key to be created. It never expires if `expires_in_seconds` is None."""

    environment: str = ""
    name_pattern: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    uses: int | None = None
    expires_in_seconds: int | None = None
    ephemeral: bool = False
    pre_approved: bool = False

    def check(self) -> None:
        """Raise InvalidField for invalid terms."""
        check_environment(self.environment)
        check_text("name_pattern", self.name_pattern, MAX_PATTERN_LENGTH)
        check_labels(self.labels)
        if self.uses is not None and not 1 <= self.uses <= MAX_USES:
            raise InvalidField("uses", f"must be from 1 to {MAX_USES}, or 0 for unlimited")
        life = self.expires_in_seconds
        if life is not None and not MIN_LIFETIME_SECONDS <= life <= MAX_LIFETIME_SECONDS:
            raise InvalidField(
                "expires_in_seconds",
                f"must be from {MIN_LIFETIME_SECONDS} to {MAX_LIFETIME_SECONDS}, or 0 for never",
            )

    def key(self, key_id: str, digest: str, now: datetime, created_by: str) -> JoinKey:
        life = self.expires_in_seconds
        return JoinKey(
            key_id,
            digest,
            now,
            created_by,
            self.environment,
            self.name_pattern,
            self.labels,
            self.uses,
            None if life is None else now + timedelta(seconds=life),
            self.ephemeral,
            self.pre_approved,
        )


def check_not_revoked(key: JoinKey) -> None:
    """Raise JoinKeyRefused for a revoked key."""
    if key.revoked_at is not None:
        raise JoinKeyRefused(key.key_id, "was revoked")


def check_admits(
    key: JoinKey, name: str, environment: str, now: datetime, *, has_joined: bool, used: int = 0
) -> None:
    """Raise JoinKeyRefused unless a host of this name and environment may register with the key.

    A server that `has_joined` with the key may register again after the key has expired or
    reached its limit; `used` is the number of servers that have joined. A host without an
    environment gets the key's.
    """
    check_not_revoked(key)
    if key.environment and environment not in ("", key.environment):
        raise JoinKeyRefused(key.key_id, f"admits only the environment {key.environment}")
    if key.name_pattern and not matches(key.name_pattern, name):
        raise JoinKeyRefused(
            key.key_id, f"admits only names like {key.name_pattern!r}, not {name!r}"
        )
    if has_joined:
        return
    if key.expires_at is not None and key.expires_at <= now:
        raise JoinKeyRefused(key.key_id, f"expired at {key.expires_at:%Y-%m-%d %H:%M} UTC")
    if key.uses is not None and used >= key.uses:
        servers = "1 server" if used == 1 else f"{used} servers"
        raise JoinKeyRefused(key.key_id, f"has already admitted {servers}, its maximum")


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name matches the pattern: * matches any characters, ? matches one.

    Backtracks only to the last star, so that no combination of a pattern and a name takes long.
    """
    in_pattern, in_name = 0, 0
    star, after_star = -1, 0
    while in_name < len(name):
        expected = pattern[in_pattern : in_pattern + 1]
        if expected == "*":
            star, after_star = in_pattern, in_name
            in_pattern += 1
        elif expected in ("?", name[in_name]):
            in_pattern += 1
            in_name += 1
        elif star >= 0:
            after_star += 1
            in_pattern, in_name = star + 1, after_star
        else:
            return False
    return not pattern[in_pattern:].strip("*")
