import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.put_configuration import PutConfiguration
from domain.errors import ConfigurationNotFound, InvalidField, ServerNotFound
from domain.events import EventKind
from tests.support.fleet import Fleet


def test_a_deletion_takes_a_revision_and_is_in_the_history(
    fleet: Fleet, put: PutConfiguration, delete: DeleteConfiguration, web: int
) -> None:
    put(web, "valheim", "{}")
    delete(web, "valheim")
    with fleet.store.begin() as transaction:
        last = transaction.history.of(web)[-1]

    assert fleet.get(web).config_revision == 2
    assert (last.kind, last.cause) == (
        EventKind.CONFIGURED,
        "an operator deleted the document valheim",
    )


def test_a_missing_document_cannot_be_deleted_and_takes_no_revision(
    fleet: Fleet, delete: DeleteConfiguration, web: int
) -> None:
    with pytest.raises(ConfigurationNotFound) as missing:
        delete(web, "valheim")

    assert (missing.value.server_id, missing.value.name) == (web, "valheim")
    assert fleet.get(web).config_revision == 0


def test_an_unknown_server_has_no_document(delete: DeleteConfiguration) -> None:
    with pytest.raises(ServerNotFound):
        delete(4711, "valheim")


@pytest.mark.parametrize("name", ["", "a\x00", "A" * 1000])
def test_an_invalid_name_is_refused(delete: DeleteConfiguration, web: int, name: str) -> None:
    with pytest.raises(InvalidField):
        delete(web, name)
