"""The command `manmanv2-api`.

It imports only the standard library at first, because it blocks signals before it loads anything
slow. So the process stops cleanly at any moment.
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
        "manmanv2-api",
        "Serves the API of the control plane to hosts and operators.",
        ApiSettings,
        run,
        check_health,
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
    warning = certificates.expiry_warning(datetime.now(UTC)) if certificates else ""
    if warning:
        _log.warning("The CA in CA_CERT_PATH %s: create a new one with `manmanv2 ca init`", warning)
    check_provider_ca(settings)
    if settings.store_kind is StoreKind.SQL:
        from entrypoints.api.database import prepare_database

        prepare_database(settings.database_url.reveal())
    if settings.registration_key is None and settings.registration_key_required:
        _log.info("REGISTRATION_KEY is not set: hosts can register only with join keys")
    elif settings.registration_key is None:
        _log.warning("REGISTRATION_KEY is not set: any host that can reach this API may register")
    if settings.oidc_issuer:
        _log.info(
            "Operators need a key, or a token from the OIDC provider %s for %s",
            settings.oidc_issuer,
            settings.oidc_audience,
        )
    elif settings.operator_key is None:
        _log.info(
            "OPERATOR_KEY is not set: unless an admin has a key, only this machine may make"
            " operators' calls"
        )
    if settings.operator_key and PlaintextKey.parse(settings.operator_key.reveal(), OPERATOR_KEY):
        _log.warning(
            "OPERATOR_KEY is the key of a single operator and grants only that operator's role: set"
            " another key for full access"
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
            f"The API at {address} (LISTEN_ADDRESS) {error}.", os.EX_UNAVAILABLE
        ) from None


if __name__ == "__main__":
    main()
