from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from adapters.grpc.client.host.api_trust import ApiTrust, AuthorityMismatch
from adapters.grpc.client.host.connection import Connection
from adapters.grpc.client.host.enrolment import Enrolment
from adapters.grpc.messages.error_reasons import (
    CERTIFICATE_REQUIRED,
    JOIN_KEY_REFUSED,
    reason_of,
    retry_after,
)
from adapters.grpc.messages.hosts import (
    capabilities_to_message,
    configuration_from_message,
    evidence_to_message,
)
from adapters.grpc.messages.metadata import REQUEST_ID
from adapters.grpc.tls.diagnosis import diagnose_tls
from adapters.grpc.tls.trust import Tls
from application.context.request_id import current_request_id, new_request_id
from application.context.trace_context import TRACE_PARENT, current_trace_parent
from application.host.key_ring import KeyRing
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from domain.approval import parse_approval
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges
from domain.errors import (
    CredentialRequired,
    InvalidRegistrationKey,
    JoinKeyRefused,
    ManManError,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
    as_sentence,
)
from domain.liveness import parse_interval
from domain.machine_evidence import NO_EVIDENCE
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub

Answer = TypeVar("Answer")

# What a heartbeat waits for besides its own answer.
_MAX_SIDE_CALL_SECONDS = 3.0

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
    once the file of CAs holds others, or the host has another certificate.

    A host with a certificate speaks at the port for those, and at the usual one where that does not
    serve. Nothing is sent to whom `trust` does not know; without it `tls` alone says whom.
    """

    address: str
    keys: KeyRing
    call_seconds: float = 5.0
    leave_timeout: float = 2.0
    tls: Tls | None = None
    trust: ApiTrust | None = None
    # None asks for no certificate.
    enrolment: Enrolment | None = None
    _trust: ApiTrust = field(init=False)
    _usual: Connection = field(init=False, default_factory=Connection)
    _certified: Connection = field(init=False, default_factory=Connection)

    def __post_init__(self) -> None:
        self._trust = self.trust or ApiTrust(self.address, self.tls, seconds=self.call_seconds)

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        return self._show(lambda key: self._register(registration_request, key))

    def _register(self, registration_request: RegistrationRequest, key: str) -> RegistrationResult:
        capabilities, evidence = registration_request.capabilities, registration_request.evidence
        request = pb.RegisterServerRequest(
            name=registration_request.name,
            capabilities=capabilities_to_message(capabilities) if capabilities else None,
            registration_key=key,
            environment=registration_request.environment,
            evidence=evidence_to_message(evidence) if evidence != NO_EVIDENCE else None,
            # There even when there are none: those of an earlier start are gone.
            labels=pb.Labels(labels=registration_request.labels),
            ephemeral=registration_request.ephemeral,
            credential=self.keys.credential,
            signing_request=self.enrolment.request_for_registration() if self.enrolment else b"",
        )
        answer: pb.RegisterServerResponse = self._call("RegisterServer", request, key=key)
        if self.enrolment:
            self.enrolment.joined(answer.server_id, answer.certificate, answer.mutual_tls_port)
        self._learn_authorities()
        return RegistrationResult(
            server_id=answer.server_id,
            next_heartbeat=parse_interval(answer.next_heartbeat_seconds),
            config_revision=answer.config_revision,
            name=answer.server.name,
            epoch=answer.epoch,
            approval=parse_approval(answer.server.approval),
            credential=answer.credential,
        )

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        if not leaving:
            self._renew_certificate(server_id)
        request = pb.HeartbeatRequest(
            server_id=server_id,
            capabilities=capabilities_to_message(capabilities) if capabilities else None,
            leaving=leaving,
            epoch=epoch,
            credential=self.keys.credential,
        )
        seconds = self.leave_timeout if leaving else self.call_seconds
        answer: pb.HeartbeatResponse = self._call(
            "Heartbeat",
            request,
            server_id,
            seconds=seconds,
            expects_latest_process=True,
            needs_credential=True,
            diagnoses_tls=not leaving,
        )
        return HeartbeatResult(
            next_heartbeat=parse_interval(answer.next_heartbeat_seconds),
            config_revision=answer.config_revision,
            approval=parse_approval(answer.approval),
            credential=answer.credential,
        )

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        return self._show(
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
        answer: pb.FetchConfigurationResponse = self._call(
            "FetchConfiguration", request, server_id, key=key
        )
        return ConfigurationChanges(
            changed=[configuration_from_message(message) for message in answer.changed],
            names=list(answer.names),
            revision=answer.revision,
            more=answer.more,
        )

    def deregister(self, server_id: int, instance_id: str) -> None:
        self._show(lambda key: self._deregister(server_id, key, instance_id))

    def _deregister(self, server_id: int, key: str, instance_id: str) -> None:
        request = pb.DeregisterRequest(
            server_id=server_id,
            registration_key=key,
            instance_id=instance_id,
            credential=self.keys.credential,
        )
        self._call("Deregister", request, server_id, key=key, expects_latest_process=True)

    def close(self) -> None:
        """Let go of the connections; the next call makes another."""
        self._usual.close()
        self._certified.close()

    def _show(self, call: Callable[[str], Answer]) -> Answer:
        """As `KeyRing.show`. A key that is for another API is not sent, and the next one tried."""
        mismatches: list[AuthorityMismatch] = []

        def sent(key: str) -> Answer:
            try:
                return call(key)
            except AuthorityMismatch as error:
                mismatches.append(error)
                raise InvalidRegistrationKey from error

        try:
            return self.keys.try_each(sent)
        except InvalidRegistrationKey:
            # It is not the API that refuses, and it passes: as what is between is mended.
            if mismatches:
                raise ControlPlaneUnavailable(str(mismatches[0])) from None
            raise

    def _renew_certificate(self, server_id: int) -> None:
        """When it is time for it. What goes wrong is said, and keeps no heartbeat back."""
        request = self.enrolment.request_for_renewal(server_id) if self.enrolment else b""
        if not self.enrolment or not request:
            return
        try:
            answer: pb.RenewCertificateResponse = self._call(
                "RenewCertificate",
                pb.RenewCertificateRequest(
                    server_id=server_id,
                    signing_request=request,
                    credential=self.keys.credential,
                ),
                server_id,
                seconds=min(self.call_seconds, _MAX_SIDE_CALL_SECONDS),
                diagnoses_tls=False,
            )
        except (ControlPlaneRefused, ControlPlaneUnavailable, ManManError) as error:
            self.enrolment.not_renewed(as_sentence(error))
            return
        self.enrolment.renewed(server_id, answer.certificate)
        self._learn_authorities()

    def _learn_authorities(self) -> None:
        with suppress(ControlPlaneRefused, ControlPlaneUnavailable, ManManError):
            self._trust.learn(
                lambda: (
                    self._call(
                        "GetTrustBundle",
                        pb.GetTrustBundleRequest(),
                        seconds=min(self.call_seconds, _MAX_SIDE_CALL_SECONDS),
                        diagnoses_tls=False,
                    ).certificates
                )
            )
        current_request_id.set("")

    def _call(
        self,
        method: str,
        request: Message,
        server_id: int | None = None,
        *,
        key: str = "",
        seconds: float | None = None,
        expects_latest_process: bool = False,
        needs_credential: bool = False,
        diagnoses_tls: bool = True,
    ) -> Any:
        call = _Call(method, request, seconds or self.call_seconds)
        try:
            answer = self._answer(call, server_id, key)
        except grpc.RpcError as error:
            own_error = self._own_error(
                error,
                server_id,
                expects_latest_process=expects_latest_process,
                needs_credential=needs_credential,
                diagnoses_tls=diagnoses_tls,
            )
            if isinstance(own_error, ControlPlaneUnavailable):
                self.close()
            raise own_error from error
        # What is logged after a failure still belongs to the request.
        current_request_id.set("")
        return answer

    def _answer(self, call: "_Call", server_id: int | None, key: str) -> Any:
        tls = self._trust.tls_for(key)
        certificate = self.enrolment.shown(server_id) if self.enrolment else None
        if not self.enrolment or not certificate:
            return call(self._usual.channel(self.address, tls))
        try:
            return self._answer_to_certificate(call, self.enrolment, certificate, tls)
        except _NotServed as error:
            is_reached = error.is_reached
        try:
            answer = call(self._usual.channel(self.address, tls))
        except grpc.RpcError as error:
            if not _is_broken(error):
                misses_it = error.code() is grpc.StatusCode.UNAUTHENTICATED
                self.enrolment.fell_back(
                    certificate, is_reached=is_reached, is_served=not misses_it
                )
            raise
        self.enrolment.fell_back(certificate, is_reached=is_reached, is_served=True)
        return answer

    def _answer_to_certificate(
        self, call: "_Call", enrolment: Enrolment, certificate: HostCertificate, tls: Tls | None
    ) -> Any:
        """Raises _NotServed when the call did not get through and may be made elsewhere."""
        connection, where = self._certified, enrolment.where(certificate)
        while connection.is_open or enrolment.is_reached(certificate):
            try:
                answer = call(connection.channel(where, tls, certificate))
            except grpc.RpcError as error:
                has_served = connection.is_proven
                if _is_broken(error):
                    connection.close()
                    # One that has served is closed by an API that is started again, too.
                    if has_served:
                        continue
                    raise _NotServed(is_reached=True) from error
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    self._prove(enrolment, certificate)
                elif not has_served:
                    enrolment.hung(certificate)
                raise
            self._prove(enrolment, certificate)
            return answer
        raise _NotServed(is_reached=False)

    def _prove(self, enrolment: Enrolment, certificate: HostCertificate) -> None:
        self._certified.is_proven = True
        # An API has only so many connections to give, and none is for nothing.
        self._usual.close()
        enrolment.served(certificate)

    def _own_error(
        self,
        error: grpc.RpcError,
        server_id: int | None,
        *,
        expects_latest_process: bool,
        needs_credential: bool,
        diagnoses_tls: bool,
    ) -> Exception:
        """The one table from what gRPC says to what the application understands.

        `expects_latest_process` is for a call that only the latest registration may make, and
        `needs_credential` for one that may need the server's credential; without `looks_closer`
        no time is spent on why a connection failed.
        """
        said = error.details() or ""
        api = f"The API at {self.address} (API_ADDRESS)"
        match error.code():
            case grpc.StatusCode.UNAVAILABLE:
                why = self._why_unavailable(error, diagnoses_tls=diagnoses_tls)
                return ControlPlaneUnavailable(f"{api} {why}.")
            case code if code in _PASSING:
                return ControlPlaneUnavailable(f"{api} {_PASSING[code]}.", retry_after(error))
            case grpc.StatusCode.PERMISSION_DENIED:
                return _denied(error, said)
            case grpc.StatusCode.ALREADY_EXISTS if server_id is None:
                return NameInUse.from_message(said)
            case grpc.StatusCode.FAILED_PRECONDITION if expects_latest_process:
                return SupersededRegistration.from_message(said)
            case grpc.StatusCode.NOT_FOUND if server_id is not None:
                return ServerNotFound(server_id)
            case grpc.StatusCode.UNAUTHENTICATED if (
                server_id is not None and reason_of(error) == CERTIFICATE_REQUIRED
            ):
                return self._certificate_required(server_id, may_register=needs_credential)
            case grpc.StatusCode.UNAUTHENTICATED if server_id is not None and needs_credential:
                return CredentialRequired(server_id)
            case grpc.StatusCode.UNIMPLEMENTED:
                return ControlPlaneRefused(
                    f"{api} does not know this call: check that API_ADDRESS names the API's port,"
                    " and that the API is not older than this host manager."
                )
            case _:
                return ControlPlaneRefused(f"{api} refuses this host: {said}.")

    def _certificate_required(self, server_id: int, *, may_register: bool) -> Exception:
        """A registration helps where it brings what is missing."""
        if self.enrolment is None:
            why = "that takes TLS: set API_ADDRESS to https:// and the API's port for TLS"
        elif may_register and self.enrolment.may_register_again():
            return CredentialRequired(server_id)
        else:
            why = self.enrolment.why_unused(server_id)
        return ControlPlaneUnavailable(
            f"The API at {self.address} (API_ADDRESS) serves only hosts that show a certificate,"
            f" and {why}."
        )

    def _why_unavailable(self, error: grpc.RpcError, *, diagnoses_tls: bool) -> str:
        has_no_address = _NO_ADDRESS in (error.details() or "")
        if diagnoses_tls and not has_no_address and not error.trailing_metadata():
            trouble = diagnose_tls(self.address, self._trust.in_use)
            if trouble:
                return str(trouble)
        return _why_unavailable(error)


def _denied(error: grpc.RpcError, said: str) -> Exception:
    if said == str(InvalidRegistrationKey()):
        return InvalidRegistrationKey()
    if reason_of(error) == JOIN_KEY_REFUSED:
        return JoinKeyRefused.from_message(said)
    return NotAdmitted.from_message(said)


class _NotServed(Exception):
    """Where certificates are shown nobody served."""

    def __init__(self, *, is_reached: bool) -> None:
        super().__init__()
        self.is_reached = is_reached


@dataclass(frozen=True, slots=True)
class _Call:
    """One that may be made over several channels, one after the other."""

    method: str
    request: Message = field(repr=False)
    seconds: float

    def __call__(self, channel: grpc.Channel) -> Any:
        method = getattr(ManManAPIStub(channel), self.method)
        return method(self.request, timeout=self.seconds, metadata=_named())


def _is_broken(error: grpc.RpcError) -> bool:
    """Whether the call did not get through; with every answer of a server comes metadata."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and not error.trailing_metadata()


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
