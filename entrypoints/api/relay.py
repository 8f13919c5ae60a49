import asyncio
import logging
import random

from application.host.transient_failure_log import TransientFailureLog
from application.operations.relay_events import RelayEvents
from application.ports.broker import BrokerUnavailable
from application.ports.store.store import StoreFailed, StoreUnavailable
from domain.backoff import retry_delay

_log = logging.getLogger(__name__)

_PERIOD_SECONDS = 0.5


async def run_relay(relay_events: RelayEvents) -> None:
    """Publish what happens as it happens, until cancelled."""
    trouble = TransientFailureLog(_log, "the broker takes events again")
    failures = 0
    while True:
        try:
            if await asyncio.to_thread(relay_events):
                continue
            trouble.ends()
            failures = 0
        except BrokerUnavailable as error:
            trouble.failed(f"{error} Events wait in the store until it takes them.")
            failures += 1
        except (StoreUnavailable, StoreFailed):
            # The look for silent servers says so already.
            failures += 1
        except Exception:  # noqa: BLE001 - whatever it is, the next try may succeed
            _log.exception("events could not be published")
            failures += 1
        in_trouble = retry_delay(failures, random.random()) if failures else 0  # nosec B311  # noqa: S311 - no secret
        await asyncio.sleep(max(_PERIOD_SECONDS, in_trouble))
