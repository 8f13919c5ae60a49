"""Whether an operator lets a server in."""

from enum import StrEnum

from domain.errors import InvalidField

MAX_REASON_LENGTH = 200


class ApprovalPolicy(StrEnum):
    """Whether a new server waits for an operator."""

    AUTO = "auto"
    MANUAL = "manual"


class Approval(StrEnum):
    APPROVED = "approved"
    # It has an id and heartbeats, and gets neither configuration nor commands.
    PENDING = "pending"
    # It is refused under its name.
    REJECTED = "rejected"
    # Its machine is refused under any name.
    BANNED = "banned"

    @property
    def admits(self) -> bool:
        return self in _ADMITTED


# Asked of each heartbeat; to look up two members of an enum takes longer than all the rest of it.
_ADMITTED = (Approval.APPROVED, Approval.PENDING)


def parse_approval(text: str) -> Approval:
    """What a control plane says of a server to its host. An older one, which says nothing, has
    let it in; whatever a later one may say, it is not that."""
    if not text:
        return Approval.APPROVED
    return Approval(text) if text in tuple(Approval) else Approval.PENDING


def check_reason(reason: str) -> None:
    """Raise InvalidField unless it is up to 200 printable characters: hosts are told it, and it
    stands in their logs."""
    if len(reason) > MAX_REASON_LENGTH:
        raise InvalidField(
            "reason", f"has {len(reason)} characters; the maximum is {MAX_REASON_LENGTH}"
        )
    if not reason.isprintable():
        raise InvalidField("reason", "contains a character that is not printable")
