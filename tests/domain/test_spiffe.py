import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.keys import ID_ALPHABET
from domain.spiffe import (
    NOT_CERTIFIED,
    Certified,
    certified_by,
    is_trust_domain,
    operator_spiffe_id,
    server_common_name,
    server_spiffe_id,
)

TRUST_DOMAIN = st.from_regex(r"[a-z0-9._-]{1,30}", fullmatch=True)
SERVER_ID = st.integers(1, 2**59)
KEY_ID = st.text(ID_ALPHABET, min_size=10, max_size=10).map("oc-".__add__)


@given(TRUST_DOMAIN, SERVER_ID)
def test_a_server_is_identified_by_its_id(trust_domain: str, server_id: int) -> None:
    assert is_trust_domain(trust_domain)
    assert certified_by([server_spiffe_id(trust_domain, server_id)], "", trust_domain) == Certified(
        server_id=server_id
    )


@given(TRUST_DOMAIN, KEY_ID)
def test_an_operator_is_identified_by_the_id_of_the_certificate(
    trust_domain: str, key_id: str
) -> None:
    assert certified_by([operator_spiffe_id(trust_domain, key_id)], "", trust_domain) == Certified(
        key_id=key_id
    )


@given(TRUST_DOMAIN, TRUST_DOMAIN, SERVER_ID, KEY_ID)
def test_an_id_of_another_trust_domain_identifies_no_caller(
    own: str, other: str, server_id: int, key_id: str
) -> None:
    for spiffe_id in (server_spiffe_id(other, server_id), operator_spiffe_id(other, key_id)):
        assert own == other or certified_by([spiffe_id], "", own) == NOT_CERTIFIED


@given(st.lists(st.builds(server_spiffe_id, st.just("x"), SERVER_ID), max_size=4))
def test_several_ids_or_none_identify_no_caller(spiffe_ids: list[str]) -> None:
    assert (certified_by(spiffe_ids, "", "x") == NOT_CERTIFIED) is (len(spiffe_ids) != 1)


@given(st.text())
def test_no_other_text_identifies_a_caller(text: str) -> None:
    for spiffe_id in (text, f"spiffe://x/{text}", f"spiffe://x/server/1{text}"):
        certified = certified_by([spiffe_id], "", "x")
        spiffe_ids = (
            server_spiffe_id("x", certified.server_id),
            operator_spiffe_id("x", certified.key_id),
        )

        assert certified == NOT_CERTIFIED or spiffe_id in spiffe_ids


@pytest.mark.parametrize(
    "spiffe_id",
    [
        "spiffe://x/server/0",
        "spiffe://x/server/01",
        "spiffe://x/server/-1",
        "spiffe://x/server/1/",
        "spiffe://x/server/",
        "spiffe://x/server/\u0661",
        "spiffe://x/server/99999999999999999999",
        "spiffe://x/operator/ok-aaaaaaaaaa",
        "spiffe://x/operator/jk-aaaaaaaaaa",
        "spiffe://x/operator/oc-aaaaaaaaaa.x",
        "spiffe://x/operator/OPERATOR_KEY",
        "spiffe://x/operator/",
        "SPIFFE://x/server/1",
        "spiffe://x:1/server/1",
        "spiffe://user@x/server/1",
        "https://x/server/1",
    ],
)
def test_an_almost_correct_id_identifies_no_caller(spiffe_id: str) -> None:
    assert certified_by([spiffe_id], "", "x") == NOT_CERTIFIED


@given(SERVER_ID, st.integers(0, 2**59), SERVER_ID)
def test_a_servers_certificate_names_the_epoch_that_issued_it(
    server_id: int, epoch: int, other: int
) -> None:
    own = [server_spiffe_id("x", server_id)]
    common_name = server_common_name(server_id, epoch)

    assert certified_by(own, common_name, "x") == Certified(server_id, epoch)
    assert certified_by(own, f"{common_name} ", "x") == Certified(server_id)
    # A common name of another server is ignored.
    if other != server_id:
        assert certified_by(own, server_common_name(other, epoch), "x") == Certified(server_id)
