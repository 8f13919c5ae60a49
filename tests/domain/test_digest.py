import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.digest import DIGEST_LENGTH, digest, identifier_in
from domain.machine_evidence import Evidence, check_evidence

UUIDS = st.uuids(version=4)


@given(UUIDS)
def test_an_identifier_is_the_same_however_it_is_spelled(found: uuid.UUID) -> None:
    spelled = {str(found), str(found).upper(), found.hex, f"  {found}\n"}

    assert {identifier_in(text) for text in spelled} == {found.hex}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "uninitialized\n",
        "None",
        "Not Settable",
        "To be filled by O.E.M.",
        "Default string",
        "0123456789abcdef",
        "g" * 32,
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "fefefefe-fefe-fefe-fefe-fefefefefefe",
        "03000200-0400-0500-0006-000700080009",
        "4C4C4544-0000-2010-8020-80C04F202020",
        "\N{FULLWIDTH DIGIT ONE}" * 32,
    ],
)
def test_placeholders_and_other_texts_are_not_identifiers(text: str) -> None:
    assert identifier_in(text) == ""


@given(st.text())
def test_any_content_gives_an_identifier_or_nothing(text: str) -> None:
    found = identifier_in(text)

    assert found == "" or (len(found) == 32 and int(found, 16) > 0)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_digest_is_valid_evidence(kind: str, identifier: str) -> None:
    check_evidence(Evidence(machine_id=digest(kind, identifier)))

    assert len(digest(kind, identifier)) == DIGEST_LENGTH


@given(st.tuples(st.text(), st.text(min_size=1)), st.tuples(st.text(), st.text(min_size=1)))
def test_only_the_same_identifier_of_the_same_kind_has_the_same_digest(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


@given(UUIDS)
def test_a_digest_contains_no_part_of_its_identifier(found: uuid.UUID) -> None:
    for length in (8, 12):
        assert found.hex[:length] not in digest("machine-id", found.hex)


def test_an_unknown_identifier_has_no_digest() -> None:
    assert digest("machine-id", "") == ""


def test_a_digest_is_the_same_in_all_versions_of_the_host_manager() -> None:
    # A different digest would make every host of a fleet a different machine.
    assert digest("machine-id", "0" * 31 + "1") == "ca7ed31402a4d01aee760766a49e0576"
