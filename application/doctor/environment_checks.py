"""Checks that the host manager and the API share."""

from collections.abc import Callable
from pathlib import Path

from application.doctor.check_result import Cause, CheckResult
from application.ports.probes.broker_probe import BrokerProbe
from application.ports.probes.port_probe import PortProbe, PortState, PortStatus
from domain.clock_reading import MAX_CLOCK_DIFFERENCE, ClockReading


def check_clock(whose: str, reading: ClockReading) -> CheckResult:
    """`whose` is the owner of the clock, for example "the API's"."""
    difference = reading.difference
    if abs(difference) <= MAX_CLOCK_DIFFERENCE:
        return CheckResult.ok(f"{whose} clock agrees with this machine's")
    direction = "ahead of" if difference.total_seconds() > 0 else "behind"
    return CheckResult.warning(
        f"{whose} clock is {abs(difference).total_seconds():.0f} s {direction} this machine's",
        "synchronize both by NTP, for example with chrony or systemd-timesyncd",
    )


def check_broker(broker: BrokerProbe, *, after_an_api: bool) -> CheckResult:
    """`after_an_api`: whether an API must have used the virtual host before, as a host needs."""
    status = broker.check()
    if after_an_api and not status.known:
        return CheckResult.warning(
            f"{status.product} answers, but no API has used this virtual host",
            "check that the API has the same RABBITMQ_URL, virtual host included",
        )
    return CheckResult.ok(f"{status.product} answers and accepts this user")


def check_folder(setting: str, folder: Path, write_problem: Callable[[Path], str]) -> CheckResult:
    problem = write_problem(folder)
    if problem:
        return CheckResult.failure(
            f"{setting} {folder} {problem}",
            "fix the directory or its permissions",
            Cause.ENVIRONMENT,
        )
    return CheckResult.ok(f"this user can write to {folder}")


def check_management_port(
    address: str, ports: PortProbe, answers: Callable[[str], bool], process: str
) -> CheckResult:
    """`answers` is whether the management server of such a process answers at METRICS_ADDRESS."""
    status = ports.check(address)
    if status.state is PortState.FREE:
        return free_port(address, process)
    if status.state is PortState.TAKEN and answers(address):
        return CheckResult.ok(f"{process} answers at {address}")
    # The process runs without it, and logs a warning.
    failure = port_failure("METRICS_ADDRESS", address, status, process)
    return CheckResult.warning(failure.summary, failure.fix)


def free_port(address: str, process: str) -> CheckResult:
    if address.endswith(":0"):
        return CheckResult.ok(
            f"{address} takes another free port at each start, so a running {process} is not found"
        )
    return CheckResult.ok(f"{address} is free, so {process} does not run there")


def port_failure(setting: str, address: str, status: PortStatus, process: str) -> CheckResult:
    match status.state:
        case PortState.ELSEWHERE:
            return CheckResult.failure(
                f"{setting} {address} is not an address of this machine",
                "set it to one, or to 0.0.0.0 for all of them",
                Cause.SETTING,
            )
        case PortState.FORBIDDEN:
            return CheckResult.failure(
                f"{setting} {address} needs privileges that this user does not have",
                "choose a port above 1023",
                Cause.SETTING,
            )
        case _:
            return CheckResult.failure(
                f"{setting} {address} is in use by {status.owner}, which does not answer like"
                f" {process}",
                "stop it, or choose another port",
                Cause.ENVIRONMENT,
            )
