from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.store.access.audit import AuditEntry
from application.ports.store.store import StoreUnavailable
from domain.operator_key import Operator
from domain.role import Role
from tests.support.audit_trail import ANN, AuditTrail
from tests.support.builders import NOW
from tests.support.canary_secrets import canary, leak_detector


@pytest.fixture
def audit() -> AuditTrail:
    return AuditTrail()


def test_an_entry_says_who_did_what_when_from_where_and_with_which_credential(
    audit: AuditTrail,
) -> None:
    audit.record(ANN, "DeleteServer", server_id=42, target="force=True")
    [entry] = audit.entries()

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


def test_the_outcome_is_an_entry_of_its_own(audit: AuditTrail) -> None:
    audit.record(ANN, "DeleteServer", server_id=42)
    audit.clock.advance(timedelta(seconds=1))
    audit.record(ANN, "DeleteServer", server_id=42, outcome="server 42 does not exist")
    failure, attempt = audit.entries()

    assert (attempt.outcome, failure.outcome) == ("", "server 42 does not exist")
    assert failure.at - attempt.at == timedelta(seconds=1)


def test_an_entry_that_cannot_be_recorded_raises(audit: AuditTrail) -> None:
    audit.store.is_unavailable = True

    with pytest.raises(StoreUnavailable):
        audit.record(ANN, "DeleteServer")


@given(st.text(max_size=1200), st.text(max_size=1200))
def test_any_text_is_cut_to_the_size_of_its_column(sent: str, other: str) -> None:
    audit = AuditTrail()
    operator = Operator(sent, Role.VIEWER, other, sent)
    audit.record(operator, sent, target=sent, outcome=f"x{other}")
    [entry] = audit.entries()

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


def test_a_text_that_is_too_long_ends_with_an_ellipsis(audit: AuditTrail) -> None:
    for length in (1000, 1001):
        audit.record(ANN, "DeleteServer", target="x" * length)
    longer, fitting = audit.entries()

    assert fitting.target == "x" * 1000
    assert longer.target == "x" * 999 + "…"


@pytest.mark.parametrize("kind", ["jk", "ok"])
def test_a_key_that_is_sent_as_a_name_is_recorded_without_its_secret(
    audit: AuditTrail, kind: str
) -> None:
    key = f"{kind}-abcdefgh23.{canary('secret of a key')}"
    audit.record(ANN, "CreateServer", target=f"name={key} x", outcome=f"{key!r} is no name")
    [entry] = audit.entries()
    leak_detector.check("in the audit", entry)

    assert entry.target == f"name={kind}-abcdefgh23 x"
    assert entry.outcome == f"'{kind}-abcdefgh23' is no name"
