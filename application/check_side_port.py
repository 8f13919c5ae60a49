from collections.abc import Callable

from application.finding import Fault, Finding
from application.ports.port_probe import PortFound, PortProbe, PortState


def check_side_port(
    address: str, ports: PortProbe, answers: Callable[[str], bool], process: str
) -> Finding:
    """`answers` tells whether a side port of ours does, at METRICS_ADDRESS."""
    found = ports.look(address)
    if found.state is PortState.FREE:
        return Finding.ok(f"{address} is free, {process} does not run there")
    if found.state is PortState.TAKEN and answers(address):
        return Finding.ok(f"{process} answers at {address}")
    # It works without, and only says so.
    failure = port_failure("METRICS_ADDRESS", address, found)
    return Finding.warning(failure.found, failure.cure)


def port_failure(setting: str, address: str, found: PortFound) -> Finding:
    match found.state:
        case PortState.ELSEWHERE:
            return Finding.failure(
                f"{setting} {address} is no address of this machine",
                "set it to one, or to 0.0.0.0 for all of them",
                Fault.SETTING,
            )
        case PortState.FORBIDDEN:
            return Finding.failure(
                f"{setting} {address} may not be listened on by this user",
                "choose a port above 1023",
                Fault.SETTING,
            )
        case _:
            return Finding.failure(
                f"{setting} {address} is taken by {found.owner}, which does not answer as ours do",
                "stop it, or choose another port",
                Fault.SURROUNDINGS,
            )
