from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.store.access.audit import AuditEntry
from application.ports.store.store import Store
from domain.keys import without_secrets
from domain.operator_key import Operator

_MAX_ACTOR_LENGTH = 255
_MAX_CREDENTIAL_ID_LENGTH = 64
_MAX_ADDRESS_LENGTH = 100
_MAX_ACTION_LENGTH = 64
_MAX_TEXT_LENGTH = 1000


@dataclass(frozen=True)
class RecordAuditEntry:
    """Record what an operator is about to do or, with an `outcome`, why it was refused or failed.

    The entry is durable when the call returns. Raises StoreUnavailable and StoreFailed: then the
    caller must not carry out the action.
    """

    store: Store
    clock: Clock

    def __call__(
        self,
        operator: Operator,
        action: str,
        *,
        server_id: int = 0,
        target: str = "",
        outcome: str = "",
    ) -> None:
        entry = AuditEntry(
            at=self.clock.now(),
            actor=_printable(operator.name, _MAX_ACTOR_LENGTH),
            credential_id=_printable(operator.credential_id, _MAX_CREDENTIAL_ID_LENGTH),
            address=_printable(operator.address, _MAX_ADDRESS_LENGTH),
            action=_printable(action, _MAX_ACTION_LENGTH),
            server_id=server_id,
            target=_printable(without_secrets(target), _MAX_TEXT_LENGTH),
            outcome=_printable(without_secrets(outcome), _MAX_TEXT_LENGTH),
        )
        with self.store.begin() as transaction:
            transaction.audit.append(entry)


def _printable(text: str, max_length: int) -> str:
    """The text in printable characters, shortened to the limit. It may be invalid, because invalid
    calls are recorded too."""
    printable = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text
    )
    return printable if len(printable) <= max_length else printable[: max_length - 1] + "…"
