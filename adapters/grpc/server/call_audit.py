import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from adapters.grpc.server.error_codes import TooBusy
from adapters.grpc.server.worker_pool import WorkerPool
from application.operators.record_audit_entry import RecordAuditEntry
from application.ports.store.store import StoreFailed, StoreUnavailable
from domain.keys import public_id
from domain.operator_key import Operator

_log = logging.getLogger(__name__)

_PASSING = (StoreUnavailable, StoreFailed, TooBusy)

# Of two servers the one that is left.
_SERVER_IDS = ("server_id", "new_server_id")


def _in_order(values: Any) -> str:
    """Of labels the names."""
    return ",".join(sorted(values))


# What a call is about. A field that is not among these is noted by nobody: it may be a document,
# a key, or what the contract will have one day.
_SHOWN: dict[str, Callable[[Any], str]] = {
    "old_server_id": str,
    "name": str,
    "new_name": str,
    "environment": str,
    "selector": str,
    "status": str,
    "is_default": str,
    "update_paths": _in_order,
    "force": str,
    "dry_run": str,
    "set": _in_order,
    "unset": _in_order,
    "reason": str,
    "conflict_id": str,
    "resolution": str,
    "key_id": public_id,
    "name_pattern": str,
    "labels": _in_order,
    "uses": str,
    "expires_in_seconds": str,
    "ephemeral": str,
    "pre_approved": str,
    "pin_authority": str,
    # Of a certificate; it says nothing that anybody went by.
    "signing_request": lambda _: "given",
    "role": str,
}


@dataclass(frozen=True)
class CallAudit:
    """Notes the calls by which operators change something, and what each is about."""

    operator_calls: WorkerPool
    record_audit_entry: RecordAuditEntry

    async def attempted(self, operator: Operator, method_name: str, request: Message) -> None:
        """Before the call is made. When this raises, it is not to be made."""
        server_id, target = _about(request)
        await self.operator_calls.run(
            self.record_audit_entry, operator, method_name, server_id=server_id, target=target
        )

    async def refused(
        self, operator: Operator, method_name: str, request: Message | None, error_text: str
    ) -> None:
        """After the call was refused or failed; there is no request where it was not read. What
        cannot be noted is told to the log: the caller gets the answer all the same.
        """
        server_id, target = _about(request) if request is not None else (0, "")
        try:
            await self.operator_calls.run(
                self.record_audit_entry,
                operator,
                method_name,
                server_id=server_id,
                target=target,
                outcome=error_text,
            )
        except Exception as error:  # noqa: BLE001 - what was refused is to be answered
            _log.error(
                "%s of %s (%s) was refused or failed, and it could not be noted: %s",
                method_name,
                operator.name,
                operator.credential_id,
                error,
                exc_info=not isinstance(error, _PASSING),
            )


def _about(request: Message) -> tuple[int, str]:
    """The server, and what else, as `name=limits selector=region=nyc`. What is not set is left
    out."""
    server_id, shown = 0, []
    for field, value in request.ListFields():
        if field.name in _SERVER_IDS:
            server_id = value
        elif field.name in _SHOWN:
            shown.append(f"{field.name}={shlex.quote(_SHOWN[field.name](value))}")
    return server_id, " ".join(shown)
