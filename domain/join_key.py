"""The keys by which hosts join, and what each is good for."""

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
    """Empty `environment` and `name_pattern` admit any; `uses` counts servers, None is any number;
    `labels` are an operator's, set when a server joins."""

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
    """What an operator asks for; `expires_in_seconds` of None is never."""

    environment: str = ""
    name_pattern: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    uses: int | None = None
    expires_in_seconds: int | None = None
    ephemeral: bool = False
    pre_approved: bool = False

    def check(self) -> None:
        """Raise InvalidField for what is against the rules."""
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
    """Raise JoinKeyRefused for a key that is good for nothing any more."""
    if key.revoked_at is not None:
        raise JoinKeyRefused(key.key_id, "was revoked")


def check_admits(
    key: JoinKey, name: str, environment: str, now: datetime, *, has_joined: bool, used: int = 0
) -> None:
    """Raise JoinKeyRefused unless a host of this name and environment may register with the key.

    Who `has_joined` with it may do so again when it has expired or is used up, and it is not
    among those that have `used` it. A host without an environment takes the key's.
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
    """Whether the whole name is as the pattern, where * is any characters and ? is one.

    Goes back to the last star alone, so that no pattern of an operator and no name of a host
    take long together.
    """
    place, at = 0, 0
    star, tried = -1, 0
    while at < len(name):
        wanted = pattern[place : place + 1]
        if wanted == "*":
            star, tried = place, at
            place += 1
        elif wanted in ("?", name[at]):
            place += 1
            at += 1
        elif star >= 0:
            tried += 1
            place, at = star + 1, tried
        else:
            return False
    return not pattern[place:].strip("*")
