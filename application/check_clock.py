from application.finding import Finding
from domain.clock_reading import MOST_CLOCK_DIFFERENCE, ClockReading


def check_clock(whose: str, reading: ClockReading) -> Finding:
    """`whose` as in "the API's clock"."""
    difference = reading.difference
    if abs(difference) <= MOST_CLOCK_DIFFERENCE:
        return Finding.ok(f"{whose} clock agrees with this machine's")
    way = "ahead of" if difference.total_seconds() > 0 else "behind"
    return Finding.warning(
        f"{whose} clock is {abs(difference).total_seconds():.0f} s {way} this machine's",
        "set both by NTP, with chrony or systemd-timesyncd",
    )
