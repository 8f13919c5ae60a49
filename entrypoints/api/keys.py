import asyncio

from application.ports.registration_keys import RegistrationKeys

_PERIOD_SECONDS = 2.0


async def watch_keys(registration_keys: RegistrationKeys) -> None:
    """Have the log tell of a change when it is made, and not when the next host shows a key."""
    while True:
        await asyncio.to_thread(registration_keys)
        await asyncio.sleep(_PERIOD_SECONDS)
