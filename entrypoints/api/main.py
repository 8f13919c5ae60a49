"""The API's command.

Only the standard library is imported here at first: signals are held back before anything slow
is loaded, so that a stop at any moment is a clean one.
"""

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoints.api.settings import ApiSettings
    from entrypoints.command import Command

_log = logging.getLogger(__name__)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.exit(command().run())


def command() -> "Command[ApiSettings]":
    from entrypoints.api.settings import ApiSettings
    from entrypoints.command import Command

    return Command(
        "manmanv2-api", "The control plane's API server.", ApiSettings, run, check_health
    )


def run(settings: "ApiSettings") -> int:
    from datetime import UTC, datetime

    from domain.keys import OPERATOR_KEY, PlaintextKey
    from entrypoints.api.oidc import check_provider_ca
    from entrypoints.api.settings import StoreKind
    from entrypoints.api.supervisor import Supervisor
    from entrypoints.api.tls import read_certificate, read_certificates
    from entrypoints.api.worker import serve

    read_certificate(settings)
    certificates = read_certificates(settings)
    why_not = certificates.expiry_warning(datetime.now(UTC)) if certificates else ""
    if why_not:
        _log.warning(
            "the authority in CA_CERT_PATH %s: make another with `manmanv2 ca init`", why_not
        )
    check_provider_ca(settings)
    if settings.store_kind is StoreKind.SQL:
        from entrypoints.api.database import prepare_database

        prepare_database(settings.database_url.reveal())
    if settings.registration_key is None and settings.registration_key_required:
        _log.info("REGISTRATION_KEY is not set: hosts join with join keys alone")
    elif settings.registration_key is None:
        _log.warning("REGISTRATION_KEY is not set: every host that reaches this API may join")
    if settings.oidc_issuer:
        _log.info(
            "operators need a key, or a token of the OIDC provider %s for %s",
            settings.oidc_issuer,
            settings.oidc_audience,
        )
    elif settings.operator_key is None:
        _log.info(
            "OPERATOR_KEY is not set: unless there is a key of an admin, operators are served on"
            " this machine only"
        )
    if settings.operator_key and PlaintextKey.parse(settings.operator_key.reveal(), OPERATOR_KEY):
        _log.warning(
            "OPERATOR_KEY is the key of one operator, and is good for what that one may do: set"
            " another for one that is good for everything"
        )
    if settings.api_workers > 1:
        Supervisor(settings).run()
    else:
        serve(settings)
    return os.EX_OK


def check_health(settings: "ApiSettings") -> None:
    from adapters.grpc.client.health import NotServing, check_own_serving
    from entrypoints.failures import CommandFailed
    from entrypoints.settings import loopback_address

    address = loopback_address(settings.listen_address)
    try:
        check_own_serving(address, over_tls=settings.speaks_tls)
    except NotServing as error:
        raise CommandFailed(
            f"the API at {address} (LISTEN_ADDRESS) {error}.", os.EX_UNAVAILABLE
        ) from None


if __name__ == "__main__":
    main()
