import pytest

from adapters.grpc.server.operator_authenticator import is_loopback


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        ("ipv4:127.0.0.1:53412", True),
        ("ipv4:127.8.9.10:1", True),
        ("ipv6:[::1]:53412", True),
        ("ipv6:%5B::1%5D:53412", True),
        ("ipv6:[::ffff:127.0.0.1]:53412", True),
        ("unix:/run/manman.sock", True),
        ("ipv4:10.0.0.7:53412", False),
        ("ipv4:128.0.0.1:53412", False),
        ("ipv6:[::ffff:10.0.0.7]:53412", False),
        ("ipv6:[fe80::1%25eth0]:53412", False),
        ("", False),
        ("rubbish", False),
    ],
)
def test_a_peer_on_this_machine_is_recognised(peer: str, loopback: bool) -> None:
    assert is_loopback(peer) is loopback
