"""Operators who use the command with tokens of an OIDC provider."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.canary_secrets import canary
from tests.support.doctor import doctor
from tests.support.oidc_provider import DISCOVERY, KEYS, Provider, provider
from tests.support.processes import Api, run_to_end

KEYCLOAK = {
    "OIDC_ROLE_CLAIM": "realm_access.roles",
    "OIDC_ROLES": "fleet-admins=admin,sre=operator",
    "OIDC_NAME_CLAIM": "email",
}


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as running:
        yield running


def test_operators_with_tokens_are_named_in_the_audit(
    idp: Provider, start_api: Callable[..., Api], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    api = start_api(url, LOG_LEVEL="debug", GRPC_VERBOSITY="debug", **idp.variables, **KEYCLOAK)
    api.wait_until_logged(f"keys of the OIDC provider {idp.issuer}: 1")

    def run(*arguments: str, **variables: str) -> tuple[int, str]:
        ended = run_to_end("manmanv2", *arguments, API_ADDRESS=api.address, **variables)
        return ended.returncode, ended.stdout + ended.stderr

    def token(*roles: str, **claims: Any) -> str:
        names = ("ann@example.com", {"roles": list(roles)})
        return idp.token(email=names[0], realm_access=names[1], **claims)

    file = tmp_path / "token"
    file.write_text(token("staff", "sre") + "\n")
    created = run("keys", "create", "--uses", "1", OPERATOR_KEY_FILE=str(file))
    audit = run("audit", "list", OPERATOR_KEY=token("fleet-admins", groups=["x" * 30] * 200))
    too_low = run("audit", "list", OPERATOR_KEY=token("sre"))
    cook = run("servers", "list", OPERATOR_KEY=token("cook"))
    expired = run("servers", "list", OPERATOR_KEY=token("sre", exp=1))
    without = run("servers", "list")

    assert created[0] == 0, created
    assert audit[0] == 0, audit
    assert "ann@example.com" in audit[1]
    assert "oidc:5f2a-ann" in audit[1]
    assert too_low == (
        77,
        "manmanv2: this call requires the role admin, and this operator has the role operator\n",
    )
    assert cook == (
        77,
        (
            "manmanv2: the token is valid, but does not make the caller an operator: its claim"
            " realm_access.roles contains none of fleet-admins, sre\n"
        ),
    )
    assert expired == (
        77,
        (
            "manmanv2: the operator key or token is not valid: it is mistyped,"
            " expired, revoked or for another API\n"
        ),
    )
    assert without[0] == 77
    assert api.logged(f"Operators need a key, or a token from the OIDC provider {idp.issuer}")
    assert not api.logged("only this machine may make")
    assert api.logged("a token of the OIDC provider was refused: it has expired")
    assert idp.asked == [DISCOVERY, KEYS]
    assert api.terminate() == 0


def test_an_api_starts_without_its_provider_and_the_doctor_reports_it(
    idp: Provider, start_api: Callable[..., Api]
) -> None:
    idp.answers[DISCOVERY] = 503
    api = start_api("memory://", OPERATOR_KEY=canary("operator key"), **idp.variables)
    api.wait_until_logged(f"the OIDC provider {idp.issuer} (OIDC_ISSUER)")
    settings = {"DATABASE_URL": "memory://", "LISTEN_ADDRESS": api.address, **idp.variables}

    def listed(key: str) -> tuple[int, str]:
        ended = run_to_end("manmanv2", "servers", "list", API_ADDRESS=api.address, OPERATOR_KEY=key)
        return ended.returncode, ended.stderr

    ill = doctor("api", **settings)
    by_token, by_key = listed(idp.token()), listed(canary("operator key"))
    del idp.answers[DISCOVERY]
    well = doctor("api", **settings)

    assert ill.of("OIDC") == (
        f"FAIL  OIDC       the OIDC provider {idp.issuer} sends no keys, because"
        f" {idp.url}{DISCOVERY} answers with HTTP status 503: check OIDC_ISSUER, and that"
        " the provider answers this machine"
    )
    assert well.of("OIDC") == f"ok    OIDC       the OIDC provider {idp.issuer} answers, keys: 1"
    assert by_token == (
        69,
        (
            "manmanv2: the OIDC provider's keys cannot be fetched now, so the token cannot"
            " be checked: try again, or use an operator's key\n"
        ),
    )
    assert by_key[0] == 0
