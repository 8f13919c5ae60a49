from dataclasses import replace

import pytest

from application.ports.host.control_plane import ControlPlaneRefused
from application.ports.probes.api_probe import KeyTrial
from tests.support.canary_secrets import canary
from tests.support.host_checks import (
    CREDENTIAL,
    KEY,
    OTHER_KEY,
    RANDOM_KEY,
    SAVED,
    FakeApi,
    examine,
    outcome,
)


def test_a_wrong_key_and_a_missing_key_have_different_results() -> None:
    assert outcome("Key", registration_key=OTHER_KEY).startswith(
        "FAIL REGISTRATION_KEY is not the API's key: "
    )
    assert outcome("Key", registration_key="").startswith(
        "FAIL REGISTRATION_KEY is not set, and the API requires a key: "
    )


@pytest.mark.parametrize("wrapped", [f" {KEY}", f"{KEY}\n", f'"{KEY}"', f"'{KEY}' "])
def test_blanks_and_quotes_around_the_key_are_recognised(wrapped: str) -> None:
    assert outcome("Key", registration_key=wrapped).startswith(
        "FAIL REGISTRATION_KEY has blanks or quotes around it: "
    )


def test_blanks_around_a_wrong_key_are_not_reported() -> None:
    assert outcome("Key", registration_key=f"{OTHER_KEY} ").startswith(
        "FAIL REGISTRATION_KEY is not the API's key: "
    )


WITH_CREDENTIAL = replace(SAVED, credential=CREDENTIAL)
CREDENTIAL_ACCEPTED = "the API accepts this host's credential from STATE_DIR"
KEY_REJECTED = (
    f"warn {CREDENTIAL_ACCEPTED}, but not REGISTRATION_KEY: unset the key, or set it to one"
    " that the API accepts"
)


@pytest.mark.parametrize(
    ("key", "text"),
    [(KEY, "ok the API accepts REGISTRATION_KEY"), ("", f"ok {CREDENTIAL_ACCEPTED}")],
)
def test_a_host_with_a_credential_needs_no_key(key: str, text: str) -> None:
    assert outcome("Key", registration_key=key, saved_state=WITH_CREDENTIAL) == text


def test_a_wrong_key_beside_a_valid_credential_is_a_warning() -> None:
    class Revoked(FakeApi):
        def try_key(self, key: str, credential: str = "") -> KeyTrial:
            if credential != self.credential:
                raise ControlPlaneRefused("The join key was revoked")
            return KeyTrial(admitted=True, clock=self.clock)

    settings = {"registration_key": OTHER_KEY, "saved_state": WITH_CREDENTIAL}

    assert outcome("Key", **settings) == KEY_REJECTED
    assert outcome("Key", api=Revoked(), **settings) == KEY_REJECTED


@pytest.mark.parametrize("key", ["", OTHER_KEY])
def test_an_expired_credential_does_not_replace_the_key(key: str) -> None:
    expired = replace(SAVED, credential=canary("expired credential"))

    assert outcome("Key", registration_key=key, saved_state=expired).startswith(
        "FAIL REGISTRATION_KEY"
    )


@pytest.mark.parametrize("key", ["", KEY])
def test_an_api_that_accepts_any_key_is_a_warning(key: str) -> None:
    assert outcome("Key", api=FakeApi(key=""), registration_key=key).startswith(
        "warn the API accepts any key, so every host may join: "
    )


def test_no_random_key_is_tried_after_a_refused_key() -> None:
    api = FakeApi()
    examine(api=api, registration_key=OTHER_KEY)

    assert api.tried == [OTHER_KEY]


def test_one_accepted_key_of_several_is_enough() -> None:
    api = FakeApi()
    results = examine(api=api, registration_key=OTHER_KEY, other_keys=[KEY, f"{OTHER_KEY} 2"])

    assert (
        str(results["Key"]) == "the API accepts a key in REGISTRATION_KEY_FILE other than the first"
    )
    assert str(results["Database"]) == "the API reaches its database"
    assert api.tried == [OTHER_KEY, KEY, RANDOM_KEY]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (KEY, "ok a ManMan API answers at api:50051"),
        (f"{OTHER_KEY} 2", "FAIL The join key was revoked"),
    ],
)
def test_the_other_keys_are_tried_after_a_revoked_join_key(other: str, expected: str) -> None:
    class Revoked(FakeApi):
        def try_key(self, key: str, credential: str = "") -> KeyTrial:
            if key == OTHER_KEY:
                raise ControlPlaneRefused("The join key was revoked")
            return super().try_key(key, credential)

    settings = {"registration_key": OTHER_KEY, "other_keys": [other]}

    assert outcome("API", api=Revoked(), **settings) == expected


def test_the_database_is_not_checked_without_a_valid_key() -> None:
    assert outcome("Database", registration_key=OTHER_KEY) == (
        "skip not checked, because the API refuses the key"
    )


def test_an_api_that_cannot_reach_its_database_fails() -> None:
    assert outcome("Database", api=FakeApi(store_is_unavailable=True)).startswith(
        "FAIL the API cannot reach its database, or is too busy: "
    )


def test_an_api_that_rejects_a_join_key_has_reached_its_database() -> None:
    assert outcome("Database", api=FakeApi(is_join_key=True)) == ("ok the API reaches its database")
