"""A fake Docker engine on a socket that only root and one group may use."""

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

VERSION = "29.1.2"
_ANSWERS = {
    "version": {"Version": VERSION, "ApiVersion": "1.44", "MinAPIVersion": "1.24"},
    "info": {"Name": "mars", "MemTotal": 8 * 2**30, "NCPU": 4, "ServerVersion": VERSION},
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = json.dumps(_ANSWERS[self.path.rpartition("/")[2]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def fake_docker_engine(path: Path, group: int) -> Iterator[None]:
    with socketserver.ThreadingUnixStreamServer(str(path), _Handler) as server:
        os.chown(path, 0, group)
        path.chmod(0o660)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
