"""What a host manager needs from the API. `check_api` tries the keys and must run first."""

from application.doctor.api_access import ApiAccess
from application.doctor.check_result import Cause, CheckResult, Outcome
from application.doctor.environment_checks import check_clock
from application.ports.host.control_plane import ControlPlaneUnavailable
from domain.errors import InvalidRegistrationKey
from domain.shared_keys import stripped_key


def check_api(access: ApiAccess, api_address: str) -> CheckResult:
    """`api_address` is empty if the API is reached over the broker."""
    access.try_keys()
    return CheckResult.ok(
        f"a ManMan API answers at {api_address}"
        if api_address
        else "an API answers over the broker"
    )


def skip_api() -> CheckResult:
    return CheckResult(
        Outcome.SKIP, "not checked, because a host with a SERVER_ID uses only the broker"
    )


def check_key(access: ApiAccess, random_key: str) -> CheckResult:
    """`random_key` is one that no host has."""
    if not access.trial.admitted:
        return _check_credential(access) or _rejected_key(access)
    if access.admits(random_key):
        return CheckResult.warning(
            "the API accepts any key, so every host may join",
            "set REGISTRATION_KEY on the API and restart it",
        )
    if access.key != access.keys[0]:
        return CheckResult.ok("the API accepts a key in REGISTRATION_KEY_FILE other than the first")
    return CheckResult.ok("the API accepts REGISTRATION_KEY")


def _check_credential(access: ApiAccess) -> CheckResult | None:
    """None if the host has no credential that the API accepts."""
    if not access.admits_credential():
        return None
    text = "the API accepts this host's credential from STATE_DIR"
    if not access.keys[0]:
        return CheckResult.ok(text)
    return CheckResult.warning(
        f"{text}, but not REGISTRATION_KEY",
        "unset the key, or set it to one that the API accepts",
    )


def _rejected_key(access: ApiAccess) -> CheckResult:
    key = access.keys[0]
    if not key:
        return CheckResult.failure(
            "REGISTRATION_KEY is not set, and the API requires a key",
            "set it to the API's key, where the service reads its settings",
            Cause.SETTING,
        )
    if stripped_key(key) != key and access.admits(stripped_key(key)):
        return CheckResult.failure(
            "REGISTRATION_KEY has blanks or quotes around it",
            "remove them, because the API accepts the key without them",
            Cause.SETTING,
        )
    return CheckResult.failure(
        "REGISTRATION_KEY is not the API's key",
        "set it to the API's key, without blanks or line ends around it",
        Cause.SETTING,
    )


def check_store(access: ApiAccess) -> CheckResult:
    try:
        access.api.ping_store(access.key)
    except ControlPlaneUnavailable:
        return CheckResult.failure(
            "the API cannot reach its database, or is too busy",
            "see its log, or run `manmanv2 doctor api` on its machine",
            Cause.ENVIRONMENT,
        )
    except InvalidRegistrationKey:
        # The API looked a join key up in its database: it is valid only for servers that joined
        # with it.
        pass
    return CheckResult.ok("the API reaches its database")


def check_api_clock(access: ApiAccess) -> CheckResult:
    if access.trial.clock is None:
        return CheckResult(Outcome.SKIP, "unknown, because this older API does not send its time")
    return check_clock("the API's", access.trial.clock)
