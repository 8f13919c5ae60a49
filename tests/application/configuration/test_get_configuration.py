import pytest

from application.configuration.get_configuration import GetConfiguration
from domain.errors import ConfigurationNotFound, InvalidField, ServerNotFound


def test_a_missing_document_cannot_be_read(get: GetConfiguration, web: int) -> None:
    with pytest.raises(ConfigurationNotFound) as missing:
        get(web, "valheim")

    assert (missing.value.server_id, missing.value.name) == (web, "valheim")


def test_an_unknown_server_has_no_document(get: GetConfiguration) -> None:
    with pytest.raises(ServerNotFound):
        get(4711, "valheim")


@pytest.mark.parametrize("name", ["", "a\x00", "A" * 1000])
def test_an_invalid_name_is_refused(get: GetConfiguration, web: int, name: str) -> None:
    with pytest.raises(InvalidField):
        get(web, name)
