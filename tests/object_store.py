"""An S3 emulator on loopback that can be out of reach for a while; what it holds stays."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
import uuid
from collections.abc import Iterator

from moto.server import ThreadedMotoServer

REGION = "us-east-1"


class ObjectStore:
    def __init__(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port: int = listener.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def make_bucket(self, name: str) -> None:
        self._request("PUT", name)

    @contextlib.contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Let nobody in meanwhile whose credentials were not made in the emulator, and so nobody."""
        self._request("POST", "moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self._request("POST", "moto-api/reset-auth", b"inf")

    def new_lake(self) -> str:
        """Return the URL of an empty lake in a bucket of its own."""
        bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        self.make_bucket(bucket)
        return self.lake(bucket)

    def lake(self, bucket: str) -> str:
        return f"s3://{bucket}/team/lake?endpoint_override=127.0.0.1:{self.port}&scheme=http&region={REGION}"

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}/{path}", body, {"Content-Type": "text/plain"}, method=method)  # noqa: S310  our own loopback
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return bytes(response.read())
