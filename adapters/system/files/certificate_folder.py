import logging
from dataclasses import dataclass
from pathlib import Path

from adapters.system.files.checksummed_file import (
    DAMAGE,
    integer_field,
    read_with_checksum,
    text_field,
    write_with_checksum,
)
from adapters.system.files.state_folder import CERTIFICATE
from application.ports.host.certificate_folder import HostCertificate

_log = logging.getLogger(__name__)

_VERSION = 1
_MAX_PORT = 65535


@dataclass(frozen=True)
class DiskCertificateFolder:
    """One file, certificate.json, beside the state of the host and protected in the same way."""

    path: Path

    def read(self) -> HostCertificate | None:
        file = self.path / CERTIFICATE
        try:
            fields = read_with_checksum(file)
            if integer_field(fields, "version", minimum=1) > _VERSION:
                raise ValueError("version")
            port = integer_field(fields, "mutual_tls_port", minimum=1)
            if port > _MAX_PORT:
                raise ValueError("port")
            return HostCertificate(
                server_id=integer_field(fields, "server_id", minimum=1),
                certificate=text_field(fields, "certificate"),
                key=text_field(fields, "key"),
                mutual_tls_port=port,
            )
        except FileNotFoundError:
            return None
        except DAMAGE:
            _log.warning(
                "%s is damaged, or was written by a later version: this host starts without its"
                " certificate and requests another one.",
                file,
            )
            return None

    def write(self, certificate: HostCertificate) -> None:
        fields = {
            "version": _VERSION,
            "server_id": certificate.server_id,
            "certificate": certificate.certificate,
            "key": certificate.key,
            "mutual_tls_port": certificate.mutual_tls_port,
        }
        write_with_checksum(self.path / CERTIFICATE, fields)
