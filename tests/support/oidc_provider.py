"""An OIDC provider on this machine, with its own keys."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from tests.support.certificates import CertificateFiles

AUDIENCE = "manmanv2"
DISCOVERY = "/realms/fleet/.well-known/openid-configuration"
KEYS = "/realms/fleet/keys"


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    """The key of an algorithm and a number, always the same, because generating one is slow."""
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(65537, 2048)
    curves: Mapping[str, Callable[[], ec.EllipticCurve]] = {
        "ES256": ec.SECP256R1,
        "ES384": ec.SECP384R1,
        "ES512": ec.SECP521R1,
    }
    if algorithm in curves:
        return ec.generate_private_key(curves[algorithm]())
    return ed25519.Ed25519PrivateKey.generate()


def published(algorithm: str, key_id: str | None, number: int = 0) -> dict[str, Any]:
    """A key as a provider publishes it."""
    public = private_key(algorithm, number).public_key()
    described: Any = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    # The library adds key_ops for signing, and a provider's public keys only verify.
    described.pop("key_ops", None)
    named = {} if key_id is None else {"kid": key_id}
    return {**described, **named, "use": "sig"}


class Provider:
    """`asked` are the requested paths. `answers` overrides the answer for a path: a document,
    bytes, a status, or a function of the request."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.keys: list[dict[str, Any]] = [published("RS256", "first")]
        self.released = threading.Event()
        self._tls = tls
        self._server = self._opened(port)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.issuer = f"{self.url}/realms/fleet"

    @property
    def settings(self) -> dict[str, str]:
        return {"oidc_issuer": self.issuer, "oidc_audience": AUDIENCE}

    @property
    def variables(self) -> dict[str, str]:
        return {name.upper(): value for name, value in self.settings.items()}

    def token(
        self,
        algorithm: str = "RS256",
        key_id: str | None = "first",
        *,
        number: int = 0,
        headers: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 300,
            "sub": "5f2a-ann",
            "role": "admin",
        }
        payload = {
            name: value for name, value in {**usual, **claims}.items() if name not in without
        }
        named = {} if key_id is None else {"kid": key_id}
        key = private_key(algorithm, number)
        # jwt.encode would refuse some of the invalid claims that tests need.
        body = json.dumps(payload).encode()
        return jwt.PyJWS().encode(body, key, algorithm, {"typ": "JWT", **named, **(headers or {})})

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def start_again(self) -> None:
        self._server = self._opened(self.port)

    def hang(self, request: BaseHTTPRequestHandler) -> None:
        self.released.wait(30)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        answer = self.answers.get(request.path, self._usual(request.path))
        if callable(answer):
            answer(request)
            return
        status, body = (answer, b"") if isinstance(answer, int) else (200, answer)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request.send_response(status)
        if status in (301, 302, 307):
            request.send_header("Location", f"{self.url}/elsewhere")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _usual(self, path: str) -> Any:
        if path == DISCOVERY:
            return {"issuer": self.issuer, "jwks_uri": f"{self.url}{KEYS}"}
        return {"keys": self.keys} if path in (KEYS, "/elsewhere") else 404

    def _opened(self, port: int) -> ThreadingHTTPServer:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """The client has hung up."""

        server = Server(("127.0.0.1", port), Handler)
        if self._tls:
            server.socket = self._tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return server


@contextmanager
def provider(files: CertificateFiles | None = None) -> Iterator[Provider]:
    tls = None
    if files:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.certificate, files.key)
    running = Provider(tls=tls)
    try:
        yield running
    finally:
        running.stop()
