"""How a channel to the API is opened."""

from typing import Any

import grpc

from adapters.grpc.tls.trust import Tls
from application.ports.host.certificate_folder import HostCertificate

# A control plane is reached directly: else calls, to this machine too, would go to the proxy that
# http_proxy names, which is there for other things.
_DIRECT = ("grpc.enable_http_proxy", 0)


def open_channel(
    address: str,
    tls: Tls | None,
    *options: tuple[str, Any],
    certificate: HostCertificate | None = None,
) -> grpc.Channel:
    """To host:port, where the certificate is shown if there is one, else that of `tls`.

    Raises CaFileUnusable and ClientCertificateUnusable.
    """
    if tls is None:
        return grpc.insecure_channel(address, (_DIRECT, *options))
    name = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    chain, key = tls.client.read() if tls.client else (None, None)
    if certificate:
        chain, key = certificate.certificate.encode(), certificate.key.encode()
    credentials = grpc.ssl_channel_credentials(tls.trusted() or None, key, chain)
    return grpc.secure_channel(address, credentials, (_DIRECT, *name, *options))
