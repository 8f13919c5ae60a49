"""Work that each process of the API repeats in the background until it stops."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from adapters.grpc.server.server_certificate import ServerCertificate
from application.host.transient_failure_log import TransientFailureLog
from application.operations.relay_events import RelayEvents
from application.ports.broker import BrokerUnavailable
from application.ports.registration_keys import RegistrationKeys
from application.ports.store.store import StoreFailed, StoreUnavailable
from domain.backoff import retry_delay

if TYPE_CHECKING:
    from adapters.oidc.jwks_cache import JwksCache

_log = logging.getLogger(__name__)

_SWEEPS_PER_INTERVAL = 5
_RELAY_SECONDS = 0.5
_PROPAGATION_SECONDS = 1.0
_CLEAN_UP_PERIOD = timedelta(minutes=1)
_KEYS_SECONDS = 2.0
_CERTIFICATE_SECONDS = 2.0
_PROVIDER_KEYS_SECONDS = 5.0

_TRANSIENT = (StoreUnavailable, StoreFailed, BrokerUnavailable)


def _silent(_: Exception) -> None:
    """For a failure of the store: the sweep reports that."""


async def _repeat(
    step: Callable[[], object],
    failure_message: str,
    *,
    pause: Callable[[int], float],
    report: Callable[[Exception], None] = _silent,
) -> None:
    """Run `step` on a thread, again at once for as long as it returns something true, and then
    after a pause, until cancelled.

    `pause` is called with the number of failures in a row and returns seconds. `report` gets the
    errors of a store or a broker that is away; any other error is logged with `failure_message`,
    and the next step may succeed.
    """
    failures = 0
    while True:
        try:
            if await asyncio.to_thread(step):
                continue
            failures = 0
        except _TRANSIENT as error:
            failures += 1
            report(error)
        except Exception:  # noqa: BLE001 - whatever it is, the next step may succeed
            failures += 1
            _log.exception(failure_message)
        await asyncio.sleep(pause(failures))


async def run_sweep(expire: Callable[[], Collection[int]], interval: timedelta) -> None:
    """Search for silent servers several times per heartbeat interval."""
    failure_log = TransientFailureLog(_log, "The store is back")

    def sweep() -> None:
        expired = expire()
        failure_log.recovered()
        for server_id in expired:
            _log.info("Server %d is offline: its heartbeats stopped", server_id)

    def report(error: Exception) -> None:
        cause = str(error.__cause__).partition("\n")[0]
        failure_log.failed(f"No server is declared offline for now: {error} ({cause})")

    period = interval.total_seconds() / _SWEEPS_PER_INTERVAL
    await _repeat(
        sweep, "The search for silent servers failed", pause=lambda _: period, report=report
    )


async def run_relay(relay_events: RelayEvents) -> None:
    """Publish events soon after they happen."""
    failure_log = TransientFailureLog(_log, "The broker takes events again")

    def relay() -> bool:
        there_may_be_more = relay_events()
        if not there_may_be_more:
            failure_log.recovered()
        return bool(there_may_be_more)

    def report(error: Exception) -> None:
        if isinstance(error, BrokerUnavailable):
            failure_log.failed(f"{error} Events wait in the store until the broker takes them.")

    def pause(failures: int) -> float:
        delay = retry_delay(failures, random.random()) if failures else 0  # nosec B311  # noqa: S311 - no secret
        return max(_RELAY_SECONDS, delay)

    await _repeat(relay, "Events could not be published", pause=pause, report=report)


async def run_propagation(propagate: Callable[[], bool]) -> None:
    """Propagate selector documents to the servers that have not got them yet: those of a change
    that selects a large fleet, or that an API left unfinished when it stopped."""
    await asyncio.sleep(_PROPAGATION_SECONDS)
    await _repeat(
        propagate,
        "A change of a selector document could not be propagated to its servers",
        pause=lambda _: _PROPAGATION_SECONDS,
    )


async def run_clean_up(clean_up: Callable[[], bool], ephemeral_retention: timedelta) -> None:
    """Delete expired records about once a minute.

    This is often enough to keep an ephemeral server for at most twice its retention.
    """
    period = min(_CLEAN_UP_PERIOD, ephemeral_retention).total_seconds()

    def pause(_: int = 0) -> float:
        # APIs that started together do not all search at the same moment.
        return period * random.uniform(0.5, 1.5)  # nosec B311  # noqa: S311 - no secret

    await asyncio.sleep(pause())
    await _repeat(clean_up, "Expired records could not be deleted", pause=pause)


async def watch_keys(registration_keys: RegistrationKeys) -> None:
    """Read the key file, so that a change is logged when it is made, and not when the next host
    sends a key."""

    def read() -> None:
        registration_keys()

    await _repeat(read, "REGISTRATION_KEY_FILE could not be read", pause=lambda _: _KEYS_SECONDS)


async def watch_certificate(certificate: ServerCertificate) -> None:
    """Take a new certificate without a restart. The files are read on a thread, because a disk that
    hangs must not keep clients from connecting."""
    _log.info("Serving TLS with the certificate %s", certificate.summary())
    await _repeat(
        certificate.reload,
        "TLS_CERT_PATH and TLS_KEY_PATH could not be read",
        pause=lambda _: _CERTIFICATE_SECONDS,
    )


async def watch_provider_keys(jwks_cache: "JwksCache") -> None:
    """Refresh the OIDC provider's keys, so that no operator waits for them, and the log reports a
    provider that is away."""
    await _repeat(
        jwks_cache.refresh_if_stale,
        "The keys of the OIDC provider could not be refreshed",
        pause=lambda _: _PROVIDER_KEYS_SECONDS,
    )
