import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc

from adapters.grpc.client.health import NotServing, check_serving
from adapters.grpc.client.host.api_trust import ApiTrust
from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.messages.metadata import UNIX_TIME
from adapters.grpc.tls.diagnosis import diagnose_tls
from adapters.grpc.tls.trust import Tls
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    RegistrationRequest,
)
from application.ports.probes.api_probe import NO_SERVER_ID, KeyTrial
from domain.clock_reading import ClockReading
from domain.errors import InvalidRegistrationKey, NotAdmitted, ServerNotFound


@dataclass(frozen=True)
class GrpcApiProbe:
    """The API over gRPC, at host:port.

    Asks the API to register a host without a name: the API checks the key before the name, and
    registers nothing. Diagnoses a failed connection more closely than a host manager does.
    `call_seconds` is the upper bound for one call, `step_seconds` for one step of the diagnosis.
    Without `trust`, `tls` alone decides which API is trusted.
    """

    address: str
    tls: Tls | None = None
    trust: ApiTrust | None = None
    call_seconds: float = 4.0
    step_seconds: float = 2.0

    def try_key(self, key: str, credential: str = "") -> KeyTrial:
        before = datetime.now(UTC)
        with closing(self._control_plane(KeyRing.single(key, credential))) as control_plane:
            try:
                control_plane.register(RegistrationRequest(name=""))
            except InvalidRegistrationKey as error:
                return KeyTrial(admitted=False, clock=_clock_reading(before, error.__cause__))
            except NotAdmitted as error:
                raise self._refused(
                    f"refuses this host, {error}",
                    "set another key, or check for a proxy in between",
                ) from error
            except ControlPlaneRefused as error:
                call: Any = error.__cause__
                if call.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                return KeyTrial(admitted=True, clock=_clock_reading(before, call))
            except ControlPlaneUnavailable as error:
                raise self._diagnosed(error) from error
        raise self._refused("registered a host without a name", "set API_ADDRESS to a ManMan API")

    def ping_store(self, key: str) -> None:
        with (
            closing(self._control_plane(KeyRing.single(key))) as control_plane,
            suppress(ServerNotFound),
        ):
            control_plane.fetch_configuration(NO_SERVER_ID, 0)

    def _control_plane(self, keys: KeyRing) -> GrpcControlPlane:
        return GrpcControlPlane(
            self.address, keys, self.call_seconds, tls=self.tls, trust=self.trust
        )

    @property
    def _tls(self) -> Tls | None:
        """The TLS settings of the last call."""
        return self.trust.in_use if self.trust else self.tls

    def _diagnosed(self, failure: ControlPlaneUnavailable) -> ControlPlaneUnavailable:
        call = failure.__cause__
        if not isinstance(call, grpc.RpcError):
            return failure
        if call.trailing_metadata():
            # Only a server sends metadata, so the call did reach one.
            return self._health_problem() or failure
        if diagnose_tls(self.address, self._tls, self.step_seconds):
            # The failure already names it.
            return failure
        host, _, port = self.address.rpartition(":")
        try:
            connection = socket.create_connection((host.strip("[]"), int(port)), self.step_seconds)
        except TimeoutError:
            return self._unavailable(
                "neither accepts nor refuses connections: a firewall drops the"
                " packets, or no machine has this address",
                "check API_ADDRESS and the firewalls in between",
                separator="; ",
            )
        except OSError:
            # The failure already says as much.
            return failure
        connection.close()
        if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._unavailable(
                "accepts connections and sends nothing: it hangs, or API_ADDRESS"
                " names the port of another program",
                "check on its machine what listens there",
                separator="; ",
            )
        if self.tls:
            return failure
        return self._unavailable(
            "accepts connections, but speaks neither gRPC nor TLS",
            "set API_ADDRESS to the API's port",
        )

    def _health_problem(self) -> ControlPlaneUnavailable | None:
        try:
            check_serving(self.address, self._tls)
        except NotServing as error:
            known = error.diagnosis
            return self._unavailable(known.problem, known.fix, separator=known.separator)
        return None

    def _unavailable(
        self, problem: str, fix: str = "", *, separator: str = ": "
    ) -> ControlPlaneUnavailable:
        problem = f"The API at {self.address} (API_ADDRESS) {problem}"
        return ControlPlaneUnavailable(problem, fix, separator=separator)

    def _refused(self, problem: str, fix: str) -> ControlPlaneRefused:
        return ControlPlaneRefused(f"The API at {self.address} (API_ADDRESS) {problem}", fix)


def _clock_reading(before: datetime, call: Any) -> ClockReading | None:
    """The API's clock by the metadata of its answer; older APIs do not send it."""
    after = datetime.now(UTC)
    metadata = {item.key: item.value for item in call.trailing_metadata() or ()}
    with suppress(KeyError, OverflowError, ValueError):
        return ClockReading(before, datetime.fromtimestamp(float(metadata[UNIX_TIME]), UTC), after)
    return None
