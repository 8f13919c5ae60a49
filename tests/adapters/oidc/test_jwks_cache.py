"""When the keys of an OIDC provider are fetched."""

import logging
import threading
import time

import pytest

from adapters.oidc.jwks_cache import COOL_DOWN_SECONDS, FRESH_SECONDS
from application.ports.operator_tokens import ProviderUnavailable
from tests.support.oidc_provider import (
    DISCOVERY,
    KEYS,
    Provider,
    published,
)
from tests.support.token_verifier import Verifier


def test_a_new_key_is_fetched_when_a_token_names_it(idp: Provider, verifier: Verifier) -> None:
    assert verifier.accepts(idp.token())
    idp.keys = [published("RS256", "second", 1), published("ES256", "third")]
    verifier.now += COOL_DOWN_SECONDS
    fetched = verifier.fetches

    assert verifier.accepts(idp.token("RS256", "second", number=1))
    assert verifier.accepts(idp.token("ES256", "third"))
    assert verifier.fetches == fetched + 1
    assert not verifier.accepts(idp.token())


def test_unknown_keys_cause_one_fetch_in_each_cool_down(idp: Provider, verifier: Verifier) -> None:
    assert verifier.accepts(idp.token())
    for number in range(50):
        assert not verifier.accepts(idp.token(key_id=f"unknown {number}"))
    verifier.now += COOL_DOWN_SECONDS - 1
    assert not verifier.accepts(idp.token(key_id="unknown"))

    assert verifier.fetches == 1

    verifier.now += 1
    for _ in range(50):
        assert not verifier.accepts(idp.token(key_id="unknown"))

    assert verifier.fetches == 2


def test_a_failed_fetch_also_starts_a_cool_down(idp: Provider, verifier: Verifier) -> None:
    idp.answers[KEYS] = 503
    for _ in range(50):
        with pytest.raises(ProviderUnavailable):
            verifier.claims(idp.token())

    assert verifier.fetches == 1

    verifier.now += COOL_DOWN_SECONDS
    del idp.answers[KEYS]

    assert verifier.accepts(idp.token())
    assert verifier.fetches == 2


def test_a_new_key_under_an_old_id_is_fetched(idp: Provider, verifier: Verifier) -> None:
    assert verifier.accepts(idp.token())
    idp.keys = [published("RS256", "first", 1)]
    verifier.now += COOL_DOWN_SECONDS

    assert verifier.accepts(idp.token(number=1))
    assert not verifier.accepts(idp.token())


def test_keys_are_fetched_again_after_an_hour(idp: Provider, verifier: Verifier) -> None:
    verifier.keys.refresh_if_stale()
    verifier.now += FRESH_SECONDS - 1
    verifier.keys.refresh_if_stale()

    assert verifier.fetches == 1

    idp.keys = [published("RS256", "second", 1)]
    verifier.now += 1
    verifier.keys.refresh_if_stale()

    assert verifier.fetches == 2
    assert not verifier.accepts(idp.token())


def test_while_the_provider_is_unavailable_its_keys_stay_valid_and_one_warning_is_logged(
    idp: Provider, verifier: Verifier, caplog: pytest.LogCaptureFixture
) -> None:
    assert verifier.accepts(idp.token())
    idp.stop()
    for _ in range(5):
        verifier.now += FRESH_SECONDS
        verifier.keys.refresh_if_stale()
        assert verifier.accepts(idp.token())
        with pytest.raises(ProviderUnavailable):
            verifier.claims(idp.token(key_id="new"))

    warnings = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    [warning] = warnings
    assert warning == (
        f"cannot fetch the keys of the OIDC provider {idp.issuer} (OIDC_ISSUER):"
        f" {idp.url}{DISCOVERY} cannot be reached; until then its previous keys stay valid"
    )

    idp.start_again()
    verifier.now += COOL_DOWN_SECONDS
    verifier.keys.refresh_if_stale()

    recovery = f"the keys of the OIDC provider {idp.issuer} can be fetched again"
    assert recovery in caplog.messages
    assert not verifier.accepts(idp.token(key_id="new"))


def test_a_provider_that_hangs_is_given_up_after_the_timeout(
    idp: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = Verifier(idp, timeout_seconds=0.1)
    idp.answers[DISCOVERY] = idp.hang
    with pytest.raises(ProviderUnavailable):
        verifier.claims(idp.token())

    assert "it does not answer within 5 s" in caplog.text


def test_a_provider_that_hangs_delays_only_one_caller(idp: Provider) -> None:
    verifier = Verifier(idp)
    token = idp.token()
    idp.answers[DISCOVERY] = idp.hang
    results: list[object] = []

    def ask() -> None:
        try:
            results.append(verifier.claims(token))
        except ProviderUnavailable as error:
            results.append(error)

    first = threading.Thread(target=ask)
    first.start()
    while not idp.asked:
        time.sleep(0.001)
    ask()

    # The first one is not answered yet.
    assert len(results) == 1

    idp.released.set()
    first.join()

    assert [type(each) for each in results] == [ProviderUnavailable] * 2
    assert idp.asked == [DISCOVERY]


def test_during_a_fetch_other_callers_use_the_known_keys(idp: Provider) -> None:
    verifier = Verifier(idp)
    token, token_of_new_key = idp.token(), idp.token(key_id="new")
    assert verifier.accepts(token)
    verifier.now += COOL_DOWN_SECONDS
    idp.answers[DISCOVERY] = idp.hang
    other = threading.Thread(target=verifier.keys.refresh)
    other.start()
    while idp.asked.count(DISCOVERY) < 2:
        time.sleep(0.001)

    assert verifier.accepts(token)
    with pytest.raises(ProviderUnavailable):
        verifier.claims(token_of_new_key)

    idp.released.set()
    other.join()
