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
    """Note what an operator is about to do, or with an `outcome` why that was refused or failed.

    It is durable on return. Raises StoreUnavailable and StoreFailed: what is not noted is not to
    be done.
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
            actor=_fit(operator.name, _MAX_ACTOR_LENGTH),
            credential_id=_fit(operator.credential_id, _MAX_CREDENTIAL_ID_LENGTH),
            address=_fit(operator.address, _MAX_ADDRESS_LENGTH),
            action=_fit(action, _MAX_ACTION_LENGTH),
            server_id=server_id,
            target=_fit(without_secrets(target), _MAX_TEXT_LENGTH),
            outcome=_fit(without_secrets(outcome), _MAX_TEXT_LENGTH),
        )
        with self.store.begin() as transaction:
            transaction.audit.append(entry)


def _fit(text: str, most: int) -> str:
    """What was sent may be against every rule: that is why it is refused."""
    printable = "".join(
        sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text
    )
    return printable if len(printable) <= most else printable[: most - 1] + "…"
