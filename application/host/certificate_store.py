import logging
from dataclasses import dataclass, field

from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.certificate_folder import CertificateFolder, HostCertificate

_log = logging.getLogger(__name__)


@dataclass
class CertificateStore:
    """The certificate that a host presents, stored for its restarts.

    A certificate that cannot be stored is still used; the failure is logged once.
    """

    # None stores nothing.
    folder: CertificateFolder | None = None
    current: HostCertificate | None = field(init=False, default=None)
    _failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "This host's certificate can be stored in STATE_DIR again."
        ),
    )

    def load(self, server_id: int | None) -> None:
        """Use the stored certificate if it is that of this server; None is no server."""
        self.current = None
        if self.folder is None or server_id is None:
            return
        try:
            stored = self.folder.read()
        except OSError as error:
            self._log_failure(error)
            return
        if stored and stored.server_id == server_id:
            self.current = stored

    def save(self, certificate: HostCertificate) -> None:
        if self.folder:
            try:
                self.folder.write(certificate)
            except OSError as error:
                self._log_failure(error)
            else:
                self._failures.recovered()
        self.current = certificate

    def clear(self) -> None:
        self.current = None

    def _log_failure(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._failures.failed(
            f"This host's certificate cannot be stored in STATE_DIR ({reason}): fix the directory"
            " or its permissions. The next start requests another one."
        )
