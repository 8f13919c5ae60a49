from dataclasses import dataclass, field
from typing import Any

import grpc

from adapters.grpc.client.channel import open_channel
from adapters.grpc.tls.trust import CaFileUnusable, Tls
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.control_plane import ControlPlaneUnavailable

# Otherwise a new channel would share the connection and the back-off of the one that failed.
_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


@dataclass
class Connection:
    """A channel that is opened again once its address, its CAs or its certificate change."""

    # Whether an answer came over it.
    is_verified: bool = field(init=False, default=False)
    _channel: grpc.Channel | None = field(init=False, default=None)
    _opened_with: tuple[Any, ...] = field(init=False, repr=False, default=())

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    def channel(
        self, address: str, tls: Tls | None, certificate: HostCertificate | None = None
    ) -> grpc.Channel:
        """Raises ControlPlaneUnavailable if the CA file cannot be used."""
        try:
            opened_with = (address, tls.trusted() if tls else b"", certificate)
            if self._channel is None or opened_with != self._opened_with:
                opened = open_channel(address, tls, _OWN_CONNECTION, certificate=certificate)
                self.close()
                self._channel, self._opened_with = opened, opened_with
        except CaFileUnusable as error:
            # While the file is being replaced, the open channel stays in use.
            if self._channel is None:
                raise ControlPlaneUnavailable.of(
                    error.diagnosis.after("API_CA_CERT_PATH ")
                ) from error
        return self._channel

    def close(self) -> None:
        if self._channel:
            self._channel.close()
        self._channel, self.is_verified = None, False
