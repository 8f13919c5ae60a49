"""Rules that all decisions about servers share."""

import pytest

from domain.errors import InvalidField, ServerNotFound
from tests.support.decisions import join
from tests.support.fleet import Fleet


@pytest.mark.parametrize("decision", ["reject", "ban"])
def test_an_invalid_reason_changes_nothing(fleet: Fleet, decision: str) -> None:
    server = join(fleet)

    with pytest.raises(InvalidField) as refused:
        getattr(fleet, decision)(server.server_id, "x" * 201)

    assert refused.value.field == "reason"
    assert fleet.get(server.server_id) == server


@pytest.mark.parametrize("decision", ["approve", "reject", "ban"])
def test_an_unknown_server_is_not_found(fleet: Fleet, decision: str) -> None:
    with pytest.raises(ServerNotFound):
        getattr(fleet, decision)(4711)
