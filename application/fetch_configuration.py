from dataclasses import dataclass, field

from application.ports.store import Store
from domain.admission import admit
from domain.configuration import Configuration, ConfigurationChanges

# Keeps an answer far below gRPC's default limit of 4 MiB for a message.
_ENOUGH_BYTES = 1024 * 1024


@dataclass(frozen=True)
class FetchConfiguration:
    """A host reads what changed since the revision it knows, oldest first.

    Raises InvalidRegistrationKey before anything else, then ServerNotFound.
    """

    store: Store
    registration_key: str | None = field(repr=False)

    def __call__(
        self, server_id: int, registration_key: str, known_revision: int
    ) -> ConfigurationChanges:
        admit(self.registration_key, registration_key)
        with self.store.begin() as transaction:
            # Locked, so that the revision, the names and the documents belong together.
            server = transaction.servers.get(server_id, lock=True)
            if known_revision > server.config_revision:
                # The store was restored from a back-up: what the host knows is of another past.
                known_revision = 0
            summaries = transaction.configurations.summaries(server_id)
            names = [summary.name for summary in summaries]
            newer = sorted(
                (summary for summary in summaries if summary.revision > known_revision),
                key=lambda summary: summary.revision,
            )
            changed: list[Configuration] = []
            size = 0
            for summary in newer:
                if size >= _ENOUGH_BYTES:
                    return ConfigurationChanges(changed, names, changed[-1].revision, more=True)
                configuration = transaction.configurations.get(server_id, summary.name)
                if configuration:
                    changed.append(configuration)
                    size += len(configuration.document.encode())
        return ConfigurationChanges(changed, names, server.config_revision, more=False)
