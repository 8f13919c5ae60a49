from typing import Any

import grpc

from adapters.grpc.tls.trust import Tls
from application.ports.host.certificate_folder import HostCertificate

# Otherwise calls would go to the proxy in http_proxy, even calls to this machine. That proxy is for
# other traffic.
_DIRECT = ("grpc.enable_http_proxy", 0)


def open_channel(
    address: str,
    tls: Tls | None,
    *options: tuple[str, Any],
    certificate: HostCertificate | None = None,
) -> grpc.Channel:
    """A channel to host:port. It presents `certificate` if there is one, else the one in `tls`.

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
