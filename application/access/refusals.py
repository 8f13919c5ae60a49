"""The errors of a host that may no longer act for its server."""

from domain.errors import NotAdmitted, SupersededRegistration
from domain.machine_evidence import Identity
from domain.server import Server


def not_admitted(server: Server) -> NotAdmitted:
    """The error for the host of a rejected or banned server."""
    why = f"was {server.approval} by an operator"
    reason = server.approval_reason
    return NotAdmitted(
        f"server {server.server_id} ({server.name})",
        f"{why}: {reason}" if reason else why,
        server.server_id,
    )


def superseded(server: Server, by: Identity) -> SupersededRegistration:
    """The error for a host manager whose server another host manager has registered since."""
    at = f" at {by.registered_at:%Y-%m-%d %H:%M:%S} UTC" if by.registered_at else ""
    address = f" from {by.address}" if by.address else ""
    return SupersededRegistration(
        server.server_id,
        f"another host manager{address}{at}: stop one of the two, or give each a SERVER_NAME or"
        " an ENVIRONMENT of its own",
    )
