import logging
from dataclasses import dataclass
from pathlib import Path

from adapters.system.files.checksummed_file import (
    DAMAGE,
    read_checked,
    text_of,
    whole_number_of,
    write_checked,
)
from adapters.system.files.state_folder import CERTIFICATE
from application.ports.host.certificate_folder import HostCertificate

_log = logging.getLogger(__name__)

_VERSION = 1
_MAX_PORT = 65535


@dataclass(frozen=True)
class DiskCertificateFolder:
    """One file, certificate.json, beside the state of the host and kept as that is."""

    path: Path

    def read(self) -> HostCertificate | None:
        file = self.path / CERTIFICATE
        try:
            fields = read_checked(file)
            if whole_number_of(fields, "version", least=1) > _VERSION:
                raise ValueError("version")
            port = whole_number_of(fields, "mutual_tls_port", least=1)
            if port > _MAX_PORT:
                raise ValueError("port")
            return HostCertificate(
                server_id=whole_number_of(fields, "server_id", least=1),
                certificate=text_of(fields, "certificate"),
                key=text_of(fields, "key"),
                mutual_tls_port=port,
            )
        except FileNotFoundError:
            return None
        except DAMAGE:
            _log.warning(
                "%s is damaged, or of a later version: this host starts without the certificate"
                " and asks for another one.",
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
        write_checked(self.path / CERTIFICATE, fields)
