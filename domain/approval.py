"""Whether an operator admits a server."""

from enum import StrEnum

from domain.errors import InvalidField

MAX_REASON_LENGTH = 200


class ApprovalPolicy(StrEnum):
    """Whether a new server must wait for an operator's approval."""

    AUTO = "auto"
    MANUAL = "manual"


class Approval(StrEnum):
    APPROVED = "approved"
    # It has an id and sends heartbeats, but gets no configuration and no commands.
    PENDING = "pending"
    # Its host is refused under this name.
    REJECTED = "rejected"
    # Its machine is refused under any name.
    BANNED = "banned"

    @property
    def admits(self) -> bool:
        return self in _ADMITTED


# A constant, because every heartbeat asks: looking up two enum members takes longer than the rest.
_ADMITTED = (Approval.APPROVED, Approval.PENDING)


def parse_approval(text: str) -> Approval:
    """Read the approval that a control plane reports to a host.

    An older control plane reports none and has admitted the host. A value that only a later
    version knows is not an approval, so it counts as pending.
    """
    if not text:
        return Approval.APPROVED
    return Approval(text) if text in tuple(Approval) else Approval.PENDING


def check_reason(reason: str) -> None:
    """Raise InvalidField unless the reason has at most 200 characters, all printable: hosts get it
    and write it to their logs."""
    if len(reason) > MAX_REASON_LENGTH:
        raise InvalidField(
            "reason", f"has {len(reason)} characters; the maximum is {MAX_REASON_LENGTH}"
        )
    if not reason.isprintable():
        raise InvalidField("reason", "contains a character that is not printable")
