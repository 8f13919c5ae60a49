from collections.abc import Callable
from dataclasses import dataclass

from application.configuration.effective_configuration import propagate_now, revision_for_selected
from application.ports.store.configuration.selector_changes import SelectorChange
from application.ports.store.store import Store
from domain.configuration import check_configuration_name
from domain.errors import SelectorConfigurationNotFound
from domain.labels import Selector


@dataclass(frozen=True)
class DeleteSelectorConfiguration:
    """Delete a document of a selector. A less specific document of that name then applies instead.

    The first thousands of servers have their new revision when the call returns. Raises
    InvalidField and SelectorConfigurationNotFound.
    """

    store: Store
    propagate: Callable[[], bool]

    def __call__(self, selector: Selector, name: str) -> None:
        check_configuration_name(name)
        with self.store.begin() as transaction:
            revision = revision_for_selected(transaction)
            if not transaction.selector_configurations.remove(selector, name):
                raise SelectorConfigurationNotFound(str(selector), name)
            # Whether it applies to any of the servers is not checked, because they may be many.
            has_same_name = any(
                summary.name == name for summary in transaction.selector_configurations.summaries()
            )
            cause = f"an operator deleted the document {name} of the selector {selector}"
            transaction.selector_changes.add(
                SelectorChange(revision, selector, resync=has_same_name, cause=cause)
            )
        propagate_now(self.propagate)
