"""Times as the wire contract has them: Unix seconds, and 0 for none."""

from datetime import UTC, datetime


def to_unix_seconds(time: datetime | None) -> int:
    return int(time.timestamp()) if time else 0


def from_unix_seconds(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def optional_from_unix_seconds(seconds: int) -> datetime | None:
    return from_unix_seconds(seconds) if seconds else None
