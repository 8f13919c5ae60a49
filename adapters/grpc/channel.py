"""How a channel to the API is opened."""

from typing import Any

import grpc

from adapters.grpc.tls import Tls
from application.ports.certificate_folder import HostCertificate

# A control plane is reached directly: else calls, to this machine too, would go to the proxy that
# http_proxy names, which is there for other things.
_DIRECT = ("grpc.enable_http_proxy", 0)


def open_channel(
    address: str,
    tls: Tls | None,
    *options: tuple[str, Any],
    certificate: HostCertificate | None = None,
) -> grpc.Channel:
    """To host:port, where the certificate is shown if there is one. Raises CaFileUnusable."""
    if tls is None:
        return grpc.insecure_channel(address, (_DIRECT, *options))
    name = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    pair = (certificate.key.encode(), certificate.certificate.encode()) if certificate else ()
    credentials = grpc.ssl_channel_credentials(tls.trusted() or None, *pair)
    return grpc.secure_channel(address, credentials, (_DIRECT, *name, *options))
