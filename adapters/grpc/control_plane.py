from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from adapters.grpc.channel import open_channel
from adapters.grpc.messages import (
    capabilities_to_message,
    configuration_from_message,
    evidence_to_message,
)
from adapters.grpc.metadata import REQUEST_ID
from adapters.grpc.reasons import JOIN_KEY_REFUSED, reason_of
from adapters.grpc.tls import CaFileUnusable, Tls
from adapters.grpc.tls_troubles import tls_trouble
from application.held_keys import HeldKeys
from application.ports.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    Heard,
    Introduction,
    Joined,
)
from application.request_id import current_request_id, new_request_id
from application.trace_context import TRACE_PARENT, current_trace_parent
from domain.approval import told_approval
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges
from domain.errors import (
    CredentialRequired,
    InvalidRegistrationKey,
    JoinKeyRefused,
    NameHeld,
    NotAdmitted,
    Replaced,
    ServerNotFound,
)
from domain.identity import NO_EVIDENCE
from domain.liveness import told_interval
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub

# Else a new channel would share the connection, and the back-off, of the one that failed.
_CONNECTION_OF_ITS_OWN = ("grpc.use_local_subchannel_pool", 1)

# What passes besides UNAVAILABLE, and what to say of it.
_PASSING = {
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "does not answer in time: check that it runs, that API_ADDRESS is right and that no"
        " firewall is between"
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: "is too busy to answer now",
    grpc.StatusCode.INTERNAL: "failed to answer: its log says why",
    grpc.StatusCode.UNKNOWN: "failed to answer: its log says why",
    grpc.StatusCode.ABORTED: "broke off the call",
    grpc.StatusCode.CANCELLED: "broke off the call",
}

_HANGS_UP = "closes the connection: check that API_ADDRESS names the API's port"
# gRPC has one code for every way of not getting through; only its words tell them apart.
_NO_ADDRESS = "resol"
_NOT_THROUGH = {
    _NO_ADDRESS: "is not found: its name does not resolve; check API_ADDRESS and the name service",
    "Connection refused": (
        "is not there: nothing listens on that port; check that it runs and that API_ADDRESS is"
        " right"
    ),
    "Socket closed": _HANGS_UP,
    "Connection reset": _HANGS_UP,
    "http1": "is no gRPC server: check that API_ADDRESS names the API's port",
}


@dataclass
class GrpcControlPlane:
    """The API over gRPC. `address` is host:port; times are bounds of one call, in seconds.

    A connection over which a call failed is thrown away. So each try is one attempt to connect,
    to an address that is looked up anew: gRPC's own back-off never delays the caller's, none
    are made in between, and a connection that died in silence does not stay. So is one over TLS
    once the file of CAs holds others.
    """

    address: str
    keys: HeldKeys
    call_seconds: float = 5.0
    farewell_seconds: float = 2.0
    tls: Tls | None = None
    _trusted: bytes = field(init=False, repr=False, default=b"")
    _channel: grpc.Channel | None = field(init=False, default=None)

    def register(self, introduction: Introduction) -> Joined:
        return self.keys.show(lambda key: self._register(introduction, key))

    def _register(self, introduction: Introduction, key: str) -> Joined:
        capabilities, evidence = introduction.capabilities, introduction.evidence
        request = pb.RegisterServerRequest(
            name=introduction.name,
            capabilities=capabilities_to_message(capabilities) if capabilities else None,
            registration_key=key,
            environment=introduction.environment,
            evidence=evidence_to_message(evidence) if evidence != NO_EVIDENCE else None,
            # There even when there are none: those of an earlier start are gone.
            labels=pb.Labels(labels=introduction.labels),
            ephemeral=introduction.ephemeral,
            credential=self.keys.credential,
        )
        with self._stub() as stub:
            answer: pb.RegisterServerResponse = stub.RegisterServer(
                request, timeout=self.call_seconds, metadata=_named()
            )
        return Joined(
            server_id=answer.server_id,
            next_heartbeat=told_interval(answer.next_heartbeat_seconds),
            config_revision=answer.config_revision,
            name=answer.server.name,
            epoch=answer.epoch,
            approval=told_approval(answer.server.approval),
            credential=answer.credential,
        )

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> Heard:
        request = pb.HeartbeatRequest(
            server_id=server_id,
            capabilities=capabilities_to_message(capabilities) if capabilities else None,
            leaving=leaving,
            epoch=epoch,
            credential=self.keys.credential,
        )
        seconds = self.farewell_seconds if leaving else self.call_seconds
        with self._stub(
            server_id, minds_process=True, minds_credential=True, looks_closer=not leaving
        ) as stub:
            answer: pb.HeartbeatResponse = stub.Heartbeat(
                request, timeout=seconds, metadata=_named()
            )
        return Heard(
            next_heartbeat=told_interval(answer.next_heartbeat_seconds),
            config_revision=answer.config_revision,
            approval=told_approval(answer.approval),
            credential=answer.credential,
        )

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        return self.keys.show(
            lambda key: self._fetch_configuration(server_id, key, known_revision, after_revision)
        )

    def _fetch_configuration(
        self, server_id: int, key: str, known_revision: int, after_revision: int
    ) -> ConfigurationChanges:
        request = pb.FetchConfigurationRequest(
            server_id=server_id,
            registration_key=key,
            known_revision=known_revision,
            after_revision=after_revision,
            credential=self.keys.credential,
        )
        with self._stub(server_id) as stub:
            answer: pb.FetchConfigurationResponse = stub.FetchConfiguration(
                request, timeout=self.call_seconds, metadata=_named()
            )
        return ConfigurationChanges(
            changed=[configuration_from_message(message) for message in answer.changed],
            names=list(answer.names),
            revision=answer.revision,
            more=answer.more,
        )

    def deregister(self, server_id: int, instance_id: str) -> None:
        self.keys.show(lambda key: self._deregister(server_id, key, instance_id))

    def _deregister(self, server_id: int, key: str, instance_id: str) -> None:
        request = pb.DeregisterRequest(
            server_id=server_id,
            registration_key=key,
            instance_id=instance_id,
            credential=self.keys.credential,
        )
        with self._stub(server_id, minds_process=True) as stub:
            stub.Deregister(request, timeout=self.call_seconds, metadata=_named())

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        if self._channel:
            self._channel.close()
        self._channel = None

    @contextmanager
    def _stub(
        self,
        server_id: int | None = None,
        *,
        minds_process: bool = False,
        looks_closer: bool = True,
        minds_credential: bool = False,
    ) -> Iterator[ManManAPIStub]:
        try:
            yield ManManAPIStub(self._connection())
            # What is logged after a failure still belongs to the request.
            current_request_id.set("")
        except grpc.RpcError as error:
            own_error = self._own_error(
                error,
                server_id,
                minds_process=minds_process,
                minds_credential=minds_credential,
                looks_closer=looks_closer,
            )
            if isinstance(own_error, ControlPlaneUnavailable):
                self.close()
            raise own_error from error

    def _connection(self) -> grpc.Channel:
        try:
            trusted = self.tls.trusted() if self.tls else b""
            if self._channel is None or trusted != self._trusted:
                opened = open_channel(self.address, self.tls, _CONNECTION_OF_ITS_OWN)
                self.close()
                self._channel, self._trusted = opened, trusted
        except CaFileUnusable as error:
            # A file that is being replaced is no reason to give up what works.
            if self._channel is None:
                raise ControlPlaneUnavailable(f"API_CA_CERT_PATH {error}.") from error
        return self._channel

    def _own_error(
        self,
        error: grpc.RpcError,
        server_id: int | None,
        *,
        minds_process: bool,
        minds_credential: bool,
        looks_closer: bool,
    ) -> Exception:
        """The one table from what gRPC says to what the application understands.

        `minds_process` is for a call that only the process which registered last may make, and
        `minds_credential` for one that may need the server's credential; without `looks_closer`
        no time is spent on why a connection failed.
        """
        said = error.details() or ""
        api = f"The API at {self.address} (API_ADDRESS)"
        match error.code():
            case grpc.StatusCode.UNAVAILABLE:
                why = self._why_unavailable(error, looks_closer=looks_closer)
                return ControlPlaneUnavailable(f"{api} {why}.")
            case code if code in _PASSING:
                return ControlPlaneUnavailable(f"{api} {_PASSING[code]}.")
            case grpc.StatusCode.PERMISSION_DENIED:
                return _denied(error, said)
            case grpc.StatusCode.ALREADY_EXISTS if server_id is None:
                return NameHeld.told(said)
            case grpc.StatusCode.FAILED_PRECONDITION if minds_process:
                return Replaced.told(said)
            case grpc.StatusCode.NOT_FOUND if server_id is not None:
                return ServerNotFound(server_id)
            case grpc.StatusCode.UNAUTHENTICATED if server_id is not None and minds_credential:
                return CredentialRequired(server_id)
            case grpc.StatusCode.UNIMPLEMENTED:
                return ControlPlaneRefused(
                    f"{api} does not know this call: check that API_ADDRESS names the API's port,"
                    " and that the API is not older than this host manager."
                )
            case _:
                return ControlPlaneRefused(f"{api} refuses this host: {said}.")

    def _why_unavailable(self, error: grpc.RpcError, *, looks_closer: bool) -> str:
        has_no_address = _NO_ADDRESS in (error.details() or "")
        if looks_closer and not has_no_address and not error.trailing_metadata():
            trouble = tls_trouble(self.address, self.tls)
            if trouble:
                return str(trouble)
        return _why_unavailable(error)


def _denied(error: grpc.RpcError, said: str) -> Exception:
    if said == str(InvalidRegistrationKey()):
        return InvalidRegistrationKey()
    if reason_of(error) == JOIN_KEY_REFUSED:
        return JoinKeyRefused.told(said)
    return NotAdmitted.told(said)


def _named() -> tuple[tuple[str, str | bytes], ...]:
    """The metadata of a new request."""
    current_request_id.set(new_request_id())
    request_id = (REQUEST_ID, current_request_id.get())
    trace_parent = current_trace_parent.get()
    return (request_id, (TRACE_PARENT, trace_parent)) if trace_parent else (request_id,)


def _why_unavailable(error: grpc.RpcError) -> str:
    if error.trailing_metadata():
        # Only a server sends these, so we did get through.
        return "cannot answer now: its log says why"
    words = error.details() or ""
    for known, meaning in _NOT_THROUGH.items():
        if known in words:
            return meaning
    return (
        "cannot be reached: check that it runs, that API_ADDRESS is right and that no firewall is"
        " between"
    )
