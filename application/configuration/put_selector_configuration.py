from collections.abc import Callable
from dataclasses import dataclass

from application.configuration.effective_configuration import propagate_now, revision_for_selected
from application.ports.clock import Clock
from application.ports.store.configuration.selector_changes import SelectorChange
from application.ports.store.store import Store
from domain.configuration import Configuration, check_configuration_name, check_document
from domain.labels import Selector


@dataclass(frozen=True)
class PutSelectorConfiguration:
    """Attach a document to every server that the selector selects, now or later, or replace it.

    The first thousands of servers have their new revision when the call returns. Raises
    InvalidField.
    """

    store: Store
    clock: Clock
    propagate: Callable[[], bool]

    def __call__(self, selector: Selector, name: str, document: str) -> Configuration:
        check_configuration_name(name)
        check_document(document)
        with self.store.begin() as transaction:
            revision = revision_for_selected(transaction)
            configuration = Configuration(name, document, revision, self.clock.now(), selector)
            transaction.selector_configurations.put(configuration)
            cause = f"an operator put the document {name} on the selector {selector}"
            transaction.selector_changes.add(
                SelectorChange(revision, selector, resync=False, cause=cause)
            )
        propagate_now(self.propagate)
        return configuration
