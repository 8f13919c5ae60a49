from dataclasses import dataclass, field
from typing import Any

import grpc

from adapters.grpc.client.channel import open_channel
from adapters.grpc.tls.trust import CaFileUnusable, Tls
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.control_plane import ControlPlaneUnavailable

# Else a new channel would share the connection, and the back-off, of the one that failed.
_CONNECTION_OF_ITS_OWN = ("grpc.use_local_subchannel_pool", 1)


@dataclass
class Connection:
    """One that is made anew once something of what it is made by is another."""

    # Whether an answer came over it.
    is_verified: bool = field(init=False, default=False)
    _channel: grpc.Channel | None = field(init=False, default=None)
    _made_by: tuple[Any, ...] = field(init=False, repr=False, default=())

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    def channel(
        self, address: str, tls: Tls | None, certificate: HostCertificate | None = None
    ) -> grpc.Channel:
        """Raises ControlPlaneUnavailable when the file of CAs cannot be used."""
        try:
            made_by = (address, tls.trusted() if tls else b"", certificate)
            if self._channel is None or made_by != self._made_by:
                opened = open_channel(address, tls, _CONNECTION_OF_ITS_OWN, certificate=certificate)
                self.close()
                self._channel, self._made_by = opened, made_by
        except CaFileUnusable as error:
            # A file that is being replaced is no reason to give up what works.
            if self._channel is None:
                raise ControlPlaneUnavailable(f"API_CA_CERT_PATH {error}.") from error
        return self._channel

    def close(self) -> None:
        if self._channel:
            self._channel.close()
        self._channel, self.is_verified = None, False
