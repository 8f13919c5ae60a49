import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.approval import Approval, check_reason
from domain.errors import InvalidField


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=200))
def test_a_reason_is_up_to_200_printable_characters(reason: str) -> None:
    check_reason(reason)


@pytest.mark.parametrize("reason", ["x" * 201, "two\nlines", "\x1b[2J", "\u200b"])
def test_a_reason_that_would_break_a_log_line_is_refused(reason: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_reason(reason)

    assert refused.value.field == "reason"


def test_a_pending_server_is_admitted_and_a_refused_one_is_not() -> None:
    admitted = {approval for approval in Approval if approval.admits}

    assert admitted == {Approval.APPROVED, Approval.PENDING}
