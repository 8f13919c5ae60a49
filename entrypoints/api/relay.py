import asyncio
import logging

from application.passing_trouble import PassingTrouble
from application.ports.broker import BrokerUnavailable
from application.ports.store import StoreFailed, StoreUnavailable
from application.relay_events import RelayEvents

_log = logging.getLogger(__name__)

_PERIOD_SECONDS = 0.5
_PERIOD_IN_TROUBLE_SECONDS = 2.0


async def relay_forever(relay_events: RelayEvents) -> None:
    """Publish what happens as it happens, until cancelled."""
    trouble = PassingTrouble(_log, "the broker takes events again")
    while True:
        period = _PERIOD_SECONDS
        try:
            if await asyncio.to_thread(relay_events):
                continue
            trouble.ends()
        except BrokerUnavailable as error:
            trouble.strikes(f"{error} Events wait in the store until it takes them.")
            period = _PERIOD_IN_TROUBLE_SECONDS
        except (StoreUnavailable, StoreFailed):
            # The look for silent servers says so already.
            period = _PERIOD_IN_TROUBLE_SECONDS
        except Exception:  # noqa: BLE001 - whatever it is, the next try may succeed
            _log.exception("events could not be published")
            period = _PERIOD_IN_TROUBLE_SECONDS
        await asyncio.sleep(period)
