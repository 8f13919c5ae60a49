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

    It is asked to register a host without a name: it judges the key before the name, and
    registers nobody. What keeps a call from getting through is looked at more closely than a
    host manager does. Times are bounds of one call and of one step of a closer look, in seconds.
    Without `trust` `tls` alone says whom to believe.
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
                return KeyTrial(admitted=False, clock=_reading(before, error.__cause__))
            except NotAdmitted as error:
                raise self._refused(
                    f"refuses this host, {error}", "set another key, or see what is between"
                ) from error
            except ControlPlaneRefused as error:
                call: Any = error.__cause__
                if call.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                return KeyTrial(admitted=True, clock=_reading(before, call))
            except ControlPlaneUnavailable as error:
                raise self._seen_closer(error) from error
        raise self._refused("takes a host without a name", "API_ADDRESS must name a ManMan API")

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
        """What the last call was made by."""
        return self.trust.in_use if self.trust else self.tls

    def _seen_closer(self, trouble: ControlPlaneUnavailable) -> ControlPlaneUnavailable:
        call = trouble.__cause__
        if not isinstance(call, grpc.RpcError):
            return trouble
        if call.trailing_metadata():
            # Only a server sends these, so it did get through.
            return self._why_it_takes_no_calls() or trouble
        if diagnose_tls(self.address, self._tls, self.step_seconds):
            # So it has been told already.
            return trouble
        host, _, port = self.address.rpartition(":")
        try:
            connection = socket.create_connection((host.strip("[]"), int(port)), self.step_seconds)
        except TimeoutError:
            return self._unavailable(
                "takes no connection and refuses none: a firewall drops what is sent to it, or no"
                " machine has this address; check API_ADDRESS and what is between"
            )
        except OSError:
            # gRPC has told it as well as can be.
            return trouble
        connection.close()
        if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._unavailable(
                "takes connections and says nothing: it hangs, or API_ADDRESS names the port of"
                " another program; see on its machine who listens there"
            )
        if self.tls:
            return trouble
        return self._unavailable(
            "takes connections, but speaks neither gRPC nor TLS: set API_ADDRESS to the API's port"
        )

    def _why_it_takes_no_calls(self) -> ControlPlaneUnavailable | None:
        try:
            check_serving(self.address, self._tls)
        except NotServing as error:
            return self._unavailable(str(error))
        return None

    def _unavailable(self, why: str) -> ControlPlaneUnavailable:
        return ControlPlaneUnavailable(f"The API at {self.address} (API_ADDRESS) {why}.")

    def _refused(self, why: str, cure: str) -> ControlPlaneRefused:
        return ControlPlaneRefused(f"The API at {self.address} (API_ADDRESS) {why}: {cure}.")


def _reading(before: datetime, call: Any) -> ClockReading | None:
    """What the answer says of the API's clock; an older API says nothing."""
    after = datetime.now(UTC)
    told = {item.key: item.value for item in call.trailing_metadata() or ()}
    with suppress(KeyError, OverflowError, ValueError):
        return ClockReading(before, datetime.fromtimestamp(float(told[UNIX_TIME]), UTC), after)
    return None
