"""What a host manager and an API are looked at for alike."""

from collections.abc import Callable

from application.doctor.check_result import Cause, CheckResult
from application.ports.probes.broker_probe import BrokerProbe
from application.ports.probes.port_probe import PortProbe, PortState, PortStatus
from domain.clock_reading import MAX_CLOCK_DIFFERENCE, ClockReading


def check_clock(whose: str, reading: ClockReading) -> CheckResult:
    """`whose` as in "the API's clock"."""
    difference = reading.difference
    if abs(difference) <= MAX_CLOCK_DIFFERENCE:
        return CheckResult.ok(f"{whose} clock agrees with this machine's")
    way = "ahead of" if difference.total_seconds() > 0 else "behind"
    return CheckResult.warning(
        f"{whose} clock is {abs(difference).total_seconds():.0f} s {way} this machine's",
        "set both by NTP, with chrony or systemd-timesyncd",
    )


def check_broker(broker: BrokerProbe, *, after_an_api: bool) -> CheckResult:
    """`after_an_api`: one must have been there before, as for a host."""
    found = broker.check()
    if after_an_api and not found.known:
        return CheckResult.warning(
            f"{found.product} answers, but no API has been in this virtual host",
            "check that the API has the same RABBITMQ_URL, virtual host included",
        )
    return CheckResult.ok(f"{found.product} answers, and lets this user in")


def check_side_port(
    address: str, ports: PortProbe, answers: Callable[[str], bool], process: str
) -> CheckResult:
    """`answers` tells whether a side port of ours does, at METRICS_ADDRESS."""
    found = ports.check(address)
    if found.state is PortState.FREE:
        return free_port(address, process)
    if found.state is PortState.TAKEN and answers(address):
        return CheckResult.ok(f"{process} answers at {address}")
    # It works without, and only says so.
    failure = port_failure("METRICS_ADDRESS", address, found)
    return CheckResult.warning(failure.summary, failure.fix)


def free_port(address: str, process: str) -> CheckResult:
    if address.endswith(":0"):
        return CheckResult.ok(
            f"{address} is a free port that each start chooses anew, so {process} is not looked for"
        )
    return CheckResult.ok(f"{address} is free, {process} does not run there")


def port_failure(setting: str, address: str, found: PortStatus) -> CheckResult:
    match found.state:
        case PortState.ELSEWHERE:
            return CheckResult.failure(
                f"{setting} {address} is no address of this machine",
                "set it to one, or to 0.0.0.0 for all of them",
                Cause.SETTING,
            )
        case PortState.FORBIDDEN:
            return CheckResult.failure(
                f"{setting} {address} may not be listened on by this user",
                "choose a port above 1023",
                Cause.SETTING,
            )
        case _:
            return CheckResult.failure(
                f"{setting} {address} is taken by {found.owner}, which does not answer as ours do",
                "stop it, or choose another port",
                Cause.ENVIRONMENT,
            )
