from dataclasses import dataclass

from adapters.grpc.server.host_call_admission import HostCallAdmission
from adapters.grpc.server.peer import certified_caller
from application.registration.renew_certificate import RenewCertificate
from domain.errors import NoCertificatesIssued
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class CertificateService:
    """The calls by which hosts get certificates. `trust_bundle` is empty if the API issues none."""

    host_call_admission: HostCallAdmission
    renew_certificate: RenewCertificate
    trust_bundle: str = ""

    async def RenewCertificate(
        self, request: pb.RenewCertificateRequest
    ) -> pb.RenewCertificateResponse:
        certificate = await self.host_call_admission.run(
            "",
            request.credential,
            self.renew_certificate,
            request.server_id,
            request.signing_request,
            request.credential,
            certified_caller.get(),
        )
        return pb.RenewCertificateResponse(certificate=certificate)

    async def GetTrustBundle(self, request: pb.GetTrustBundleRequest) -> pb.GetTrustBundleResponse:
        if not self.trust_bundle:
            raise NoCertificatesIssued
        return pb.GetTrustBundleResponse(certificates=self.trust_bundle)
