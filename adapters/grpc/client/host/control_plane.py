from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from adapters.grpc.client.host.api_trust import ApiTrust, AuthorityMismatch
from adapters.grpc.client.host.call_router import CallRouter
from adapters.grpc.client.host.calls import (
    DEREGISTER,
    FETCH_CONFIGURATION,
    GET_TRUST_BUNDLE,
    HEARTBEAT,
    LEAVING_HEARTBEAT,
    REGISTER,
    RENEW_CERTIFICATE,
    CallSpec,
    PreparedCall,
)
from adapters.grpc.client.host.enrolment import Enrolment
from adapters.grpc.client.host.errors import may_be_tls, own_error
from adapters.grpc.messages.hosts import (
    capabilities_to_message,
    configuration_from_message,
    evidence_to_message,
)
from adapters.grpc.tls.diagnosis import diagnose_tls
from adapters.grpc.tls.trust import Tls
from application.context.request_id import current_request_id
from application.host.key_ring import KeyRing
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
    CertificateRequired,
    CredentialRequired,
    InvalidRegistrationKey,
    ManManError,
    as_sentence,
)
from domain.liveness import parse_interval
from domain.machine_evidence import NO_EVIDENCE
from protos.manman.v1 import manman_pb2 as pb

Answer = TypeVar("Answer")


@dataclass
class GrpcControlPlane:
    """The API over gRPC. `address` is host:port; times are upper bounds for one call, in seconds.

    After a failed call its connection is closed. So each try is one attempt to connect, to an
    address that is resolved again: gRPC's own back-off never delays the caller, gRPC does not
    connect in between, and a connection that died silently does not stay in use. A TLS connection
    is also replaced once the CA file has other CAs, or the host has another certificate.

    A host with a certificate calls the API's mutual-TLS port, and the plain port where the
    mutual-TLS port does not serve it. `trust` decides which API may receive anything; without it,
    `tls` alone decides.
    """

    address: str
    keys: KeyRing
    call_seconds: float = 5.0
    leave_timeout: float = 2.0
    tls: Tls | None = None
    trust: ApiTrust | None = None
    # None requests no certificate.
    enrolment: Enrolment | None = None
    _trust: ApiTrust = field(init=False)
    _router: CallRouter = field(init=False)

    def __post_init__(self) -> None:
        self._trust = self.trust or ApiTrust(self.address, self.tls, seconds=self.call_seconds)
        use = self.enrolment.use if self.enrolment else None
        self._router = CallRouter(self.address, use)

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        return self._try_keys(lambda key: self._register(registration_request, key))

    def _register(self, registration_request: RegistrationRequest, key: str) -> RegistrationResult:
        capabilities, evidence = registration_request.capabilities, registration_request.evidence
        request = pb.RegisterServerRequest(
            name=registration_request.name,
            capabilities=capabilities_to_message(capabilities) if capabilities else None,
            registration_key=key,
            environment=registration_request.environment,
            evidence=evidence_to_message(evidence) if evidence != NO_EVIDENCE else None,
            # Sent even if empty, because absent labels would keep those of an earlier start.
            labels=pb.Labels(labels=registration_request.labels),
            ephemeral=registration_request.ephemeral,
            credential=self.keys.credential,
            signing_request=self._signing_request(),
        )
        answer: pb.RegisterServerResponse = self._call(REGISTER, request, key=key)
        if self.enrolment:
            self.enrolment.renewal.registered(
                answer.server_id, answer.certificate, answer.mutual_tls_port
            )
        self._refresh_trust_bundle()
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
        spec = LEAVING_HEARTBEAT if leaving else HEARTBEAT
        seconds = self.leave_timeout if leaving else self.call_seconds
        answer: pb.HeartbeatResponse = self._call(spec, request, server_id, seconds=seconds)
        return HeartbeatResult(
            next_heartbeat=parse_interval(answer.next_heartbeat_seconds),
            config_revision=answer.config_revision,
            approval=parse_approval(answer.approval),
            credential=answer.credential,
        )

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        return self._try_keys(
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
            FETCH_CONFIGURATION, request, server_id, key=key
        )
        return ConfigurationChanges(
            changed=[configuration_from_message(message) for message in answer.changed],
            names=list(answer.names),
            revision=answer.revision,
            more=answer.more,
        )

    def deregister(self, server_id: int, instance_id: str) -> None:
        self._try_keys(lambda key: self._deregister(server_id, key, instance_id))

    def _deregister(self, server_id: int, key: str, instance_id: str) -> None:
        request = pb.DeregisterRequest(
            server_id=server_id,
            registration_key=key,
            instance_id=instance_id,
            credential=self.keys.credential,
        )
        self._call(DEREGISTER, request, server_id, key=key)

    def close(self) -> None:
        """Close the connections; the next call opens a new one."""
        self._router.close()

    def _try_keys(self, call: Callable[[str], Answer]) -> Answer:
        """Like `KeyRing.try_each`, but a key that pins the CA of another API is skipped unsent."""
        mismatches: list[AuthorityMismatch] = []

        def send(key: str) -> Answer:
            try:
                return call(key)
            except AuthorityMismatch as error:
                mismatches.append(error)
                raise InvalidRegistrationKey from error

        try:
            return self.keys.try_each(send)
        except InvalidRegistrationKey:
            # The API did not refuse the key. The mismatch may be temporary, for example a proxy
            # that answers in place of the API.
            if mismatches:
                raise ControlPlaneUnavailable.of(mismatches[0].diagnosis) from None
            raise

    def _signing_request(self) -> bytes:
        return self.enrolment.renewal.request_for_registration() if self.enrolment else b""

    def _renew_certificate(self, server_id: int) -> None:
        """Renew if it is due. A failure is logged and does not stop the heartbeat."""
        if not self.enrolment:
            return
        renewal = self.enrolment.renewal
        signing_request = renewal.request_for_renewal(server_id)
        if not signing_request:
            return
        request = pb.RenewCertificateRequest(
            server_id=server_id, signing_request=signing_request, credential=self.keys.credential
        )
        try:
            answer: pb.RenewCertificateResponse = self._call(RENEW_CERTIFICATE, request, server_id)
        except (ControlPlaneRefused, ControlPlaneUnavailable, ManManError) as error:
            renewal.not_renewed(as_sentence(error))
            return
        renewal.renewed(server_id, answer.certificate)
        self._refresh_trust_bundle()

    def _refresh_trust_bundle(self) -> None:
        """A failure has no effect: the host keeps the CAs that it knows."""
        with suppress(ControlPlaneRefused, ControlPlaneUnavailable, ManManError):
            self._trust.refresh_bundle(
                lambda: self._call(GET_TRUST_BUNDLE, pb.GetTrustBundleRequest()).certificates
            )
        current_request_id.set("")

    def _call(
        self,
        spec: CallSpec,
        request: Message,
        server_id: int | None = None,
        *,
        key: str = "",
        seconds: float | None = None,
    ) -> Any:
        timeout = min(seconds or self.call_seconds, spec.max_seconds)
        call = PreparedCall(spec.method, request, timeout)
        try:
            answer = self._router.send(call, server_id, self._trust.tls_for(key))
        except grpc.RpcError as error:
            translated = self._translate(error, spec, server_id)
            if isinstance(translated, ControlPlaneUnavailable):
                self.close()
            raise translated from error
        # After a failure the request id stays, because what is logged then belongs to the request.
        current_request_id.set("")
        return answer

    def _translate(self, error: grpc.RpcError, spec: CallSpec, server_id: int | None) -> Exception:
        if spec.diagnoses_tls and may_be_tls(error):
            problem = diagnose_tls(self.address, self._trust.in_use)
            if problem:
                return self._unavailable(problem.problem, problem.fix)
        own = own_error(error, spec, server_id, self.address)
        if isinstance(own, CertificateRequired) and server_id is not None:
            return self._certificate_required(server_id, spec)
        return own

    def _certificate_required(self, server_id: int, spec: CallSpec) -> Exception:
        if self.enrolment is None:
            return self._unavailable(
                "requires a host certificate, and that needs TLS",
                "set API_ADDRESS to https:// and the API's TLS port",
            )
        if spec.registration_helps and self.enrolment.renewal.may_register_again():
            return CredentialRequired(server_id)
        why = self.enrolment.use.why_unused(server_id)
        return self._unavailable(f"requires a host certificate, and {why}")

    def _unavailable(self, problem: str, fix: str = "") -> ControlPlaneUnavailable:
        return ControlPlaneUnavailable(f"The API at {self.address} (API_ADDRESS) {problem}", fix)
