"""Which host gets the next certificate of a server."""

from dataclasses import replace

import pytest

from application.ports.certificate_authority import AuthorityExpired
from application.registration.register_server import Registered
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    CertificateMismatch,
    CredentialRequired,
    InvalidField,
    NoCertificatesIssued,
    NotAdmitted,
    ServerNotFound,
)
from domain.registration_rules import RegistrationRules
from domain.spiffe import Certified
from tests.support.certifying import RESTARTED, CertifyingFleet
from tests.support.operators import DAY, REQUEST

WEB = "spiffe://example.com/server/1"


@pytest.fixture
def fleet() -> CertifyingFleet:
    return CertifyingFleet()


def rules_with(switch: Switch, mode: Mode) -> RegistrationRules:
    return RegistrationRules(enforcement=Enforcement({switch: mode}))


def renew_by_credential(fleet: CertifyingFleet, joined: Registered, server_id: int = 1) -> str:
    return fleet.renew(server_id, REQUEST, credential=joined.credential)


def test_the_credential_of_the_server_renews_its_certificate(fleet: CertifyingFleet) -> None:
    joined = fleet.join()

    assert renew_by_credential(fleet, joined) == f"certificate of {WEB}"
    assert fleet.authority.issued == [(WEB, DAY), (WEB, DAY)]
    assert fleet.authority.common_names == ["server 1 epoch 1"] * 2


def test_the_present_certificate_renews_itself_and_keeps_its_epoch(fleet: CertifyingFleet) -> None:
    fleet.join()
    fleet.join(host=RESTARTED)

    fleet.renew(1, REQUEST, certified_as=Certified(server_id=1, epoch=2))
    assert fleet.authority.common_names[-1] == "server 1 epoch 2"
    # A certificate that another authority issued names no epoch.
    fleet.renew(1, REQUEST, certified_as=Certified(server_id=1))
    assert fleet.authority.common_names[-1] == "server 1 epoch 0"


def test_no_other_proof_is_accepted(fleet: CertifyingFleet) -> None:
    fleet.join()
    other = fleet.join("db", replace(RESTARTED, machine_id="", engine_id=""))
    for credential in ("", "hc.forged.forged", other.credential):
        with pytest.raises(CredentialRequired) as refused:
            fleet.renew(1, REQUEST, credential=credential)
        assert refused.value.server_id == 1
    with pytest.raises(CertificateMismatch) as mismatch:
        fleet.renew(1, REQUEST, other.credential, Certified(server_id=2))

    assert str(mismatch.value) == str(CertificateMismatch(2, 1))
    assert len(fleet.authority.issued) == 2


def test_a_superseded_registration_gets_no_certificate(fleet: CertifyingFleet) -> None:
    earlier = fleet.join()
    later = fleet.join(host=RESTARTED)

    with pytest.raises(CredentialRequired):
        renew_by_credential(fleet, earlier)
    with pytest.raises(CredentialRequired):
        fleet.renew(1, REQUEST, certified_as=Certified(server_id=1, epoch=1))
    assert renew_by_credential(fleet, later)


def test_a_superseded_registration_gets_one_where_epochs_are_not_enforced() -> None:
    fleet = CertifyingFleet(rules_with(Switch.EPOCH, Mode.WARN))
    earlier = fleet.join()
    fleet.join(host=RESTARTED)

    assert renew_by_credential(fleet, earlier)


def test_an_api_without_an_authority_issues_none(fleet: CertifyingFleet) -> None:
    joined = fleet.join()

    with pytest.raises(NoCertificatesIssued):
        replace(fleet.renew, certificates=None)(1, REQUEST, joined.credential)
    # A caller without proof does not learn that.
    with pytest.raises(CredentialRequired):
        replace(fleet.renew, certificates=None)(1, REQUEST)


def test_an_invalid_signing_request_is_refused(fleet: CertifyingFleet) -> None:
    joined = fleet.join()

    with pytest.raises(InvalidField, match="signing_request"):
        fleet.renew(1, b"no request", joined.credential)


def test_a_server_that_an_operator_refuses_gets_none(fleet: CertifyingFleet) -> None:
    joined = fleet.join()
    fleet.reject(1, "unknown machine")

    with pytest.raises(NotAdmitted, match="was rejected by an operator: unknown machine"):
        renew_by_credential(fleet, joined)
    fleet.delete(1, force=True)
    with pytest.raises(ServerNotFound):
        renew_by_credential(fleet, joined)


def test_where_bans_only_warn_a_refused_server_gets_one_and_is_recorded() -> None:
    fleet = CertifyingFleet(rules_with(Switch.BAN, Mode.WARN))
    joined = fleet.join()
    fleet.reject(1, "unknown machine")

    assert renew_by_credential(fleet, joined)
    with fleet.store.begin() as transaction:
        [refusal] = transaction.dry_run_refusals.page(after=0, size=9)
    assert (refusal.switch, refusal.server_id, refusal.name) == (Switch.BAN, 1, "web")
    assert refusal.reason.endswith("was rejected by an operator: unknown machine")
    assert refusal.last_at == fleet.clock.now()


def test_an_expired_authority_is_reported(fleet: CertifyingFleet) -> None:
    joined = fleet.join()
    fleet.authority.error = AuthorityExpired("replace it")

    with pytest.raises(AuthorityExpired):
        renew_by_credential(fleet, joined)
