from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.store.access.audit import AuditEntry
from application.ports.store.store import Store
from domain.keys import without_secrets
from domain.operator_key import Operator

_MOST_OF_ACTOR = 255
_MOST_OF_CREDENTIAL_ID = 64
_MOST_OF_ADDRESS = 100
_MOST_OF_ACTION = 64
_MOST_OF_TEXT = 1000


@dataclass(frozen=True)
class NoteAction:
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
            actor=_fit(operator.name, _MOST_OF_ACTOR),
            credential_id=_fit(operator.credential_id, _MOST_OF_CREDENTIAL_ID),
            address=_fit(operator.address, _MOST_OF_ADDRESS),
            action=_fit(action, _MOST_OF_ACTION),
            server_id=server_id,
            target=_fit(without_secrets(target), _MOST_OF_TEXT),
            outcome=_fit(without_secrets(outcome), _MOST_OF_TEXT),
        )
        with self.store.begin() as transaction:
            transaction.audit.append(entry)


def _fit(text: str, most: int) -> str:
    """What was sent may be against every rule: that is why it is refused."""
    printable = "".join(
        sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text
    )
    return printable if len(printable) <= most else printable[: most - 1] + "…"
