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

_TEMPORARY_ERRORS = (StoreUnavailable, StoreFailed, TooBusy)

# A merge names two servers: the entry belongs to the one that remains.
_SERVER_IDS = ("server_id", "new_server_id")


def _sorted_names(values: Any) -> str:
    """The names, or for labels their keys, sorted and separated by commas."""
    return ",".join(sorted(values))


# The fields that say what a call is about. No other field is recorded: it may be a document, a key,
# or one that the contract will get later.
_RECORDED_FIELDS: dict[str, Callable[[Any], str]] = {
    "old_server_id": str,
    "name": str,
    "new_name": str,
    "environment": str,
    "selector": str,
    "status": str,
    "is_default": str,
    "update_paths": _sorted_names,
    "force": str,
    "dry_run": str,
    "set": _sorted_names,
    "unset": _sorted_names,
    "reason": str,
    "conflict_id": str,
    "resolution": str,
    "key_id": public_id,
    "name_pattern": str,
    "labels": _sorted_names,
    "uses": str,
    "expires_in_seconds": str,
    "ephemeral": str,
    "pre_approved": str,
    "pin_authority": str,
    # A request for a certificate; its content decided nothing.
    "signing_request": lambda _: "given",
    "role": str,
}


@dataclass(frozen=True)
class CallAudit:
    """Records the calls that change something, and what each is about."""

    operator_calls: WorkerPool
    record_audit_entry: RecordAuditEntry

    async def attempted(self, operator: Operator, method_name: str, request: Message) -> None:
        """Record a call before it is made. If this raises, the call must not be made."""
        server_id, target = _about(request)
        await self.operator_calls.run(
            self.record_audit_entry, operator, method_name, server_id=server_id, target=target
        )

    async def refused(
        self, operator: Operator, method_name: str, request: Message | None, error_text: str
    ) -> None:
        """Record a call that failed, or that the operator's role does not allow; `request` is None
        if it is malformed. If that is not possible, it is logged, and the caller still gets its
        answer.
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
        except Exception as error:  # noqa: BLE001 - the caller must get its answer
            _log.error(
                "%s by %s (%s) was refused or failed, and that could not be recorded: %s",
                method_name,
                operator.name,
                operator.credential_id,
                error,
                exc_info=not isinstance(error, _TEMPORARY_ERRORS),
            )


def _about(request: Message) -> tuple[int, str]:
    """The server's id and the fields that are set, such as `name=limits selector=region=nyc`."""
    server_id, fields = 0, []
    for field, value in request.ListFields():
        if field.name in _SERVER_IDS:
            server_id = value
        elif field.name in _RECORDED_FIELDS:
            fields.append(f"{field.name}={shlex.quote(_RECORDED_FIELDS[field.name](value))}")
    return server_id, " ".join(fields)
