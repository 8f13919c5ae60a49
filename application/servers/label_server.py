from collections.abc import Collection, Mapping
from dataclasses import dataclass

from application.configuration.effective_configuration import configure_relabelled
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.errors import InvalidField
from domain.events import Event, EventKind
from domain.labels import check_labels
from domain.server import Server


@dataclass(frozen=True)
class LabelServer:
    """Set and remove operators' labels of a server, which override those of its host.

    Removing a label that the server does not have is no error. Raises ServerNotFound and
    InvalidField.
    """

    store: Store
    clock: Clock

    def __call__(
        self, server_id: int, labels: Mapping[str, str], unset: Collection[str] = ()
    ) -> Server:
        if not labels and not unset:
            raise InvalidField("set", "and unset are both empty: name at least one label")
        check_labels(labels, "set")
        check_labels(dict.fromkeys(unset, ""), "unset")
        both = sorted(labels.keys() & set(unset))
        if both:
            raise InvalidField("unset", f"names {both[0]}, which set names too")
        with self.store.begin() as transaction:
            last_revision = transaction.configuration_clock.hold()
            before = transaction.servers.get(server_id, lock=True)
            old = before.labels.of_operators
            new = {key: value for key, value in {**old, **labels}.items() if key not in unset}
            if new == old:
                return before
            check_labels(new, "set")
            effective_changed = transaction.labels.set_operator_labels(server_id, new)
            now = self.clock.now()
            cause = _cause(old, new)
            transaction.outbox.add([Event(EventKind.LABELLED, server_id, now, cause)])
            if effective_changed:
                configure_relabelled(transaction, before, last_revision, now)
            return transaction.servers.get(server_id)


def _cause(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    changed = [f"{key}={value}" for key, value in sorted(new.items()) if old.get(key) != value]
    removed = sorted(old.keys() - new.keys())
    actions = [f"set {' and '.join(changed)}"] if changed else []
    if removed:
        actions.append(f"removed {' and '.join(removed)}")
    return f"an operator {', and '.join(actions)}"
