from dataclasses import dataclass, field
from typing import Any

import grpc

from adapters.grpc.client.host.calls import PreparedCall
from adapters.grpc.client.host.certificate_use import CertificateUse
from adapters.grpc.client.host.connection import Connection
from adapters.grpc.client.host.errors import is_connection_failure
from adapters.grpc.tls.trust import Tls
from application.ports.host.certificate_folder import HostCertificate


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A try to make a call with the host's certificate.

    Without an answer, `reached_port` says whether anything takes connections at the mutual-TLS
    port.
    """

    answer: Any = None
    is_answered: bool = False
    reached_port: bool = True


@dataclass
class CallRouter:
    """Chooses the connection for each call.

    A host that has a certificate calls the API's mutual-TLS port. The call goes to the plain port
    if the mutual-TLS port does not serve it. `address` is the plain port, as host:port.
    """

    address: str
    # None never presents a certificate.
    certificates: CertificateUse | None
    _plain: Connection = field(init=False, default_factory=Connection)
    _certified: Connection = field(init=False, default_factory=Connection)

    def send(self, call: PreparedCall, server_id: int | None, tls: Tls | None) -> Any:
        """The response. `server_id` is None in a registration.

        Raises grpc.RpcError, and ControlPlaneUnavailable when the CA file cannot be used.
        """
        use = self.certificates
        certificate = use.certificate_for(server_id) if use else None
        if not use or not certificate:
            return self._send_plain(call, tls)
        attempt = self._try_with_certificate(call, use, certificate, tls)
        if attempt.is_answered:
            return attempt.answer
        return self._fall_back(call, use, certificate, tls, reached_port=attempt.reached_port)

    def close(self) -> None:
        """Close the connections; the next call opens a new one."""
        self._plain.close()
        self._certified.close()

    def _send_plain(self, call: PreparedCall, tls: Tls | None) -> Any:
        return call(self._plain.channel(self.address, tls))

    def _try_with_certificate(
        self,
        call: PreparedCall,
        use: CertificateUse,
        certificate: HostCertificate,
        tls: Tls | None,
    ) -> _Attempt:
        """Raises the RpcError of a call that may have reached the API."""
        connection, address = self._certified, use.address_of(certificate)
        while connection.is_open or use.is_reachable(certificate):
            try:
                answer = call(connection.channel(address, tls, certificate))
            except grpc.RpcError as error:
                was_verified = connection.is_verified
                if is_connection_failure(error):
                    connection.close()
                    # An API that restarts closes a verified connection, too.
                    if was_verified:
                        continue
                    return _Attempt()
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    self._accept(use, certificate)
                elif not was_verified:
                    use.timed_out(certificate)
                raise
            self._accept(use, certificate)
            return _Attempt(answer, is_answered=True)
        return _Attempt(reached_port=False)

    def _accept(self, use: CertificateUse, certificate: HostCertificate) -> None:
        self._certified.is_verified = True
        # An API has a limited number of connections, so an unused one is closed.
        self._plain.close()
        use.accepted(certificate)

    def _fall_back(
        self,
        call: PreparedCall,
        use: CertificateUse,
        certificate: HostCertificate,
        tls: Tls | None,
        *,
        reached_port: bool,
    ) -> Any:
        try:
            answer = self._send_plain(call, tls)
        except grpc.RpcError as error:
            if not is_connection_failure(error):
                is_served = error.code() is not grpc.StatusCode.UNAUTHENTICATED
                use.used_plain_port(certificate, reached_port=reached_port, is_served=is_served)
            raise
        use.used_plain_port(certificate, reached_port=reached_port, is_served=True)
        return answer
