import pytest

from application.access.refusals import not_admitted, superseded
from domain.approval import Approval
from domain.machine_evidence import UNKNOWN_IDENTITY, Identity
from domain.server import Server
from tests.support.builders import NOW


@pytest.mark.parametrize(
    ("approval", "reason", "message"),
    [
        (Approval.REJECTED, "", "server 12 (web) was rejected by an operator"),
        (Approval.BANNED, "stolen", "server 12 (web) was banned by an operator: stolen"),
    ],
)
def test_a_refused_server_is_named_with_the_operators_reason(
    approval: Approval, reason: str, message: str
) -> None:
    error = not_admitted(Server(12, "web", approval=approval, approval_reason=reason))

    assert str(error) == message
    assert error.server_id == 12


ADVICE = ": stop one of the two, or give each a SERVER_NAME or an ENVIRONMENT of its own"


@pytest.mark.parametrize(
    ("successor", "named"),
    [
        (UNKNOWN_IDENTITY, ""),
        (Identity(address="10.0.0.7"), " from 10.0.0.7"),
        (Identity(registered_at=NOW), " at 2026-02-28 23:59:58 UTC"),
        (
            Identity(address="10.0.0.7", registered_at=NOW),
            " from 10.0.0.7 at 2026-02-28 23:59:58 UTC",
        ),
    ],
)
def test_the_error_of_a_superseded_host_names_its_known_successor(
    successor: Identity, named: str
) -> None:
    error = superseded(Server(12, "web"), successor)

    expected = f"server 12 was registered again by another host manager{named}{ADVICE}"
    assert str(error) == expected
    assert error.server_id == 12
