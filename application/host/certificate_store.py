import logging
from dataclasses import dataclass, field

from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.certificate_folder import CertificateFolder, HostCertificate

_log = logging.getLogger(__name__)


@dataclass
class CertificateStore:
    """The certificate that a host shows, and keeps over its restarts.

    One that cannot be kept is warned about once and ends nothing.
    """

    # None keeps nothing.
    folder: CertificateFolder | None = None
    current: HostCertificate | None = field(init=False, default=None)
    _trouble: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "The certificate of this host can be kept in STATE_DIR again."
        ),
    )

    def load(self, server_id: int | None) -> None:
        """Go on with the one that is kept, if it is of this server; None is no server."""
        self.current = None
        if self.folder is None or server_id is None:
            return
        try:
            kept = self.folder.read()
        except OSError as error:
            self._tell(error)
            return
        if kept and kept.server_id == server_id:
            self.current = kept

    def save(self, certificate: HostCertificate) -> None:
        if self.folder:
            try:
                self.folder.write(certificate)
            except OSError as error:
                self._tell(error)
            else:
                self._trouble.recovered()
        self.current = certificate

    def clear(self) -> None:
        self.current = None

    def _tell(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._trouble.failed(
            f"The certificate of this host cannot be kept in STATE_DIR ({reason}): mend the folder"
            " or its permissions. The next start asks for another one."
        )
