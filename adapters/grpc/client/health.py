import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters.grpc.client.channel import open_channel
from adapters.grpc.tls.diagnosis import diagnose_tls, unverified_tls
from adapters.grpc.tls.trust import Tls
from application.ports.diagnosis import DiagnosedError

_TIMEOUT_SECONDS = 3.0


class NotServing(DiagnosedError):
    """The message completes the sentence "the API at ADDRESS …"."""


def check_own_serving(address: str, *, over_tls: bool) -> None:
    """Ask the API on this machine, whatever name its certificate is for. Raises NotServing."""
    check_serving(address, unverified_tls(address) if over_tls else None)


def check_serving(address: str, tls: Tls | None = None) -> None:
    """Ask gRPC's health service at host:port, within three seconds. Raises NotServing."""
    try:
        with open_channel(address, tls) as channel:
            answer: health_pb2.HealthCheckResponse = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS
            )
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise NotServing(f"does not answer within {_TIMEOUT_SECONDS:.0f} s") from None
        problem = diagnose_tls(address, tls)
        if problem:
            fix = "check TLS_CERT_PATH and TLS_KEY_PATH, here and where the API was started"
            raise NotServing(problem.problem, fix) from None
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise NotServing("is not there: nothing listens, or it closes the connection") from None
        raise NotServing("has no health service", "check that it is a gRPC server") from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotServing(
            "accepts no calls: it is starting or stopping", "try again", separator="; "
        )
