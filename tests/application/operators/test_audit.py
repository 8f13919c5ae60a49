"""What is noted of what operators do, and how it is read."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.operators.list_audit import ListAudit
from application.operators.record_audit_entry import RecordAuditEntry
from application.ports.store.access.audit import AuditEntry
from application.ports.store.store import StoreUnavailable
from domain.errors import InvalidField
from domain.operator_key import Operator
from domain.role import Role
from tests.support.builders import NOW
from tests.support.canary_secrets import canary, leak_detector
from tests.support.fleet import TroubledStore

ANN = Operator("ann", Role.OPERATOR, "ok-abcdefgh23", "10.0.0.1")


class Notebook:
    def __init__(self) -> None:
        self.store = TroubledStore(MemoryStore())
        self.clock = MemoryClock(NOW)
        self.note = RecordAuditEntry(self.store, self.clock)
        self.list = ListAudit(self.store)

    def entries(self) -> list[AuditEntry]:
        return list(self.list(size=100).entries)


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


def test_an_attempt_says_who_did_what_when_from_where_and_by_which_credential(
    notebook: Notebook,
) -> None:
    notebook.note(ANN, "DeleteServer", server_id=42, target="force=True")
    [entry] = notebook.entries()

    assert entry == AuditEntry(
        at=NOW,
        actor="ann",
        credential_id="ok-abcdefgh23",
        address="10.0.0.1",
        action="DeleteServer",
        server_id=42,
        target="force=True",
        outcome="",
        entry_id=entry.entry_id,
    )


def test_what_came_of_it_is_an_entry_of_its_own(notebook: Notebook) -> None:
    notebook.note(ANN, "DeleteServer", server_id=42)
    notebook.clock.advance(timedelta(seconds=1))
    notebook.note(ANN, "DeleteServer", server_id=42, outcome="server 42 does not exist")
    failure, attempt = notebook.entries()

    assert (attempt.outcome, failure.outcome) == ("", "server 42 does not exist")
    assert failure.at - attempt.at == timedelta(seconds=1)


def test_what_cannot_be_noted_is_said(notebook: Notebook) -> None:
    notebook.store.is_away = True

    with pytest.raises(StoreUnavailable):
        notebook.note(ANN, "DeleteServer")


@given(st.text(max_size=1200), st.text(max_size=1200))
def test_any_text_is_kept_in_what_the_columns_take(sent: str, other: str) -> None:
    notebook = Notebook()
    operator = Operator(sent, Role.VIEWER, other, sent)
    notebook.note(operator, sent, target=sent, outcome=f"x{other}")
    [entry] = notebook.entries()

    for text, most in (
        (entry.actor, 255),
        (entry.credential_id, 64),
        (entry.address, 100),
        (entry.action, 64),
        (entry.target, 1000),
        (entry.outcome, 1000),
    ):
        assert len(text) <= most
        assert text.isprintable()


def test_what_is_too_long_ends_in_a_mark_and_what_just_fits_does_not(notebook: Notebook) -> None:
    for length in (1000, 1001):
        notebook.note(ANN, "DeleteServer", target="x" * length)
    longer, fitting = notebook.entries()

    assert fitting.target == "x" * 1000
    assert longer.target == "x" * 999 + "…"


@pytest.mark.parametrize("kind", ["jk", "ok"])
def test_a_key_that_is_sent_in_the_place_of_a_name_is_noted_without_its_secret(
    notebook: Notebook, kind: str
) -> None:
    key = f"{kind}-abcdefgh23.{canary('secret of a key')}"
    notebook.note(ANN, "CreateServer", target=f"name={key} x", outcome=f"{key!r} is no name")
    [entry] = notebook.entries()
    leak_detector.check("in the audit", entry)

    assert entry.target == f"name={kind}-abcdefgh23 x"
    assert entry.outcome == f"'{kind}-abcdefgh23' is no name"


def test_a_full_page_says_where_the_next_one_begins(notebook: Notebook) -> None:
    for n in range(5):
        notebook.note(ANN, f"Call{n}")
    first = notebook.list(size=2)
    second = notebook.list(size=2, before=first.next_before or 0)
    last = notebook.list(size=2, before=second.next_before or 0)

    pages = [[entry.action for entry in page.entries] for page in (first, second, last)]
    assert pages == [["Call4", "Call3"], ["Call2", "Call1"], ["Call0"]]
    assert last.next_before is None
    assert notebook.list(size=5).next_before is None


def test_a_list_is_of_one_server_or_of_one_actor_when_it_is_asked_for(notebook: Notebook) -> None:
    notebook.note(ANN, "A", server_id=1)
    notebook.note(Operator("bob", Role.ADMIN, "ok-bbbbbbbbbb"), "B", server_id=1)
    notebook.note(ANN, "C")

    assert [entry.action for entry in notebook.list(size=9, server_id=1).entries] == ["B", "A"]
    assert [entry.action for entry in notebook.list(size=9, actor="ann").entries] == ["C", "A"]


def test_an_actor_that_no_operator_can_be_named_is_an_invalid_field(notebook: Notebook) -> None:
    with pytest.raises(InvalidField, match="actor contains a character that is not printable"):
        notebook.list(size=9, actor="an\0n")
