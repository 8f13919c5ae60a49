import pytest

from domain.errors import InvalidField
from domain.operator_key import Operator
from domain.role import Role
from tests.support.audit_trail import ANN, AuditTrail


@pytest.fixture
def audit() -> AuditTrail:
    return AuditTrail()


def test_a_full_page_names_where_the_next_one_begins(audit: AuditTrail) -> None:
    for n in range(5):
        audit.record(ANN, f"Call{n}")
    first = audit.list(size=2)
    second = audit.list(size=2, before=first.next_before or 0)
    last = audit.list(size=2, before=second.next_before or 0)

    pages = [[entry.action for entry in page.entries] for page in (first, second, last)]
    assert pages == [["Call4", "Call3"], ["Call2", "Call1"], ["Call0"]]
    assert last.next_before is None
    assert audit.list(size=5).next_before is None


def test_the_list_can_be_limited_to_one_server_or_one_actor(audit: AuditTrail) -> None:
    audit.record(ANN, "A", server_id=1)
    audit.record(Operator("bob", Role.ADMIN, "ok-bbbbbbbbbb"), "B", server_id=1)
    audit.record(ANN, "C")

    assert [entry.action for entry in audit.list(size=9, server_id=1).entries] == ["B", "A"]
    assert [entry.action for entry in audit.list(size=9, actor="ann").entries] == ["C", "A"]


def test_an_actor_that_is_not_printable_is_refused(audit: AuditTrail) -> None:
    with pytest.raises(InvalidField, match="actor contains a character that is not printable"):
        audit.list(size=9, actor="an\0n")
