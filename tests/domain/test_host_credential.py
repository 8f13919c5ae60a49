"""The credential with which a host proves its identity."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.host_credential import HostCredential, issue, read, without_signatures
from domain.keys import ID_ALPHABET
from tests.support.builders import NOW, SECOND

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
BEGIN = NOW.replace(microsecond=0)
CREDENTIAL = HostCredential("abcdefghij", 42, 7, BEGIN, BEGIN + timedelta(days=30))
ISSUED = issue(CREDENTIAL, KEY)

CREDENTIALS = st.builds(
    HostCredential,
    st.text(ID_ALPHABET, min_size=10, max_size=10),
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 10**9).map(lambda seconds: BEGIN + seconds * SECOND),
    st.integers(0, 10**9).map(lambda seconds: BEGIN + seconds * SECOND),
)


@given(CREDENTIALS)
def test_an_issued_credential_is_read_back_unchanged(credential: HostCredential) -> None:
    assert read(issue(credential, KEY), KEY) == credential
    assert read(issue(credential, KEY), OTHER_KEY) is None


def test_times_are_whole_seconds() -> None:
    issued = issue(replace(CREDENTIAL, issued_at=NOW, expires_at=NOW + SECOND), KEY)

    assert read(issued, KEY) == replace(CREDENTIAL, issued_at=BEGIN, expires_at=BEGIN + SECOND)


@given(
    st.text()
    | st.text("hc.aA0-_= ")
    | st.builds("hc.{}.{}".format, st.text(), st.text())
    | st.binary().map(lambda content: content.decode(errors="surrogateescape"))
)
@example("")
@example("hc..")
@example(f"{ISSUED}é")
@example("\ud800")
@example("hc." + "a" * 100_000)
def test_no_other_text_is_a_credential(text: str) -> None:
    assert read(text, KEY) is None


@given(st.data())
def test_a_credential_with_one_changed_character_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(ISSUED) - 1))
    other = data.draw(st.characters().filter(lambda character: character != ISSUED[place]))

    assert read(f"{ISSUED[:place]}{other}{ISSUED[place + 1 :]}", KEY) is None
    assert read(f"{ISSUED[:place]}{ISSUED[place + 1 :]}", KEY) is None
    assert read(f"{ISSUED[:place]}{other}{ISSUED[place:]}", KEY) is None


@given(CREDENTIALS, CREDENTIALS)
def test_parts_of_two_credentials_do_not_make_one(
    one: HostCredential, other: HostCredential
) -> None:
    payload, _, _ = issue(one, KEY).rpartition(".")
    _, _, signature = issue(other, KEY).rpartition(".")

    assert read(f"{payload}.{signature}", KEY) in (None, one)
    assert (read(f"{payload}.{signature}", KEY) == one) == (one == other)


def test_the_payload_can_be_shown_without_the_signature() -> None:
    text = without_signatures(f'{{"a":"{ISSUED}","b":"{ISSUED}"}}'.encode()).decode()
    payload, _, signature = ISSUED.rpartition(".")

    assert text == f'{{"a":"{payload}","b":"{payload}"}}'
    assert signature not in text


@pytest.mark.parametrize(
    ("after", "is_good", "is_due"),
    [
        (timedelta(0), True, False),
        (timedelta(days=15), True, False),
        (timedelta(days=15, seconds=1), True, True),
        (timedelta(days=30, seconds=-1), True, True),
        (timedelta(days=30), False, True),
        # Issued by another API whose clock is ahead.
        (timedelta(seconds=-5), True, False),
    ],
)
def test_a_credential_is_due_for_renewal_after_half_of_its_life_and_valid_until_its_end(
    after: timedelta, is_good: bool, is_due: bool
) -> None:
    now = BEGIN + after

    assert (CREDENTIAL.is_valid_at(now), CREDENTIAL.is_due_for_renewal_at(now)) == (is_good, is_due)
