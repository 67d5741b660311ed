from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.data.files import random_bytes
from tightbound.data import fetch
from tightbound.errors import DataError

CONTENT = random_bytes(300_000).tobytes()
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/drop" or (self.path == "/drop-once" and self.asked.count("/drop-once") == 1):
            self.wfile.write(CONTENT[:100_000])
            self.wfile.flush()
            self.connection.close()
        elif self.path == "/altered":
            self.wfile.write(b"?" + CONTENT[1:])
        elif self.path != "/silent":
            self.wfile.write(CONTENT)
        else:
            threading.Event().wait(1.0)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """The handlers that break off on purpose are no news."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.asked = []
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("checksum", [SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest()])
def test_a_whole_file(server: str, tmp_path: Path, checksum: str) -> None:
    path = fetch([f"{server}/good"], tmp_path / "new" / "file", checksum=checksum)
    assert path.read_bytes() == CONTENT
    assert _files(tmp_path) == ["file"]


@pytest.mark.parametrize("bad", ["absent", "altered", "drop"])
def test_a_mirror_takes_over(server: str, tmp_path: Path, bad: str) -> None:
    path = fetch([f"{server}/{bad}", f"{server}/good"], tmp_path / "file", checksum=SHA256)
    assert path.read_bytes() == CONTENT
    assert _files(tmp_path) == ["file"]
    assert Handler.asked == [f"/{bad}", "/good"]


def test_a_dropped_connection_is_tried_again(server: str, tmp_path: Path) -> None:
    assert fetch([f"{server}/drop-once"], tmp_path / "file", checksum=SHA256).read_bytes() == CONTENT
    assert Handler.asked == ["/drop-once", "/drop-once"]


def test_every_failure_is_named_and_nothing_is_left(server: str, tmp_path: Path) -> None:
    urls = [f"{server}/{bad}" for bad in ("absent", "altered", "drop")] + ["http://127.0.0.1:1/closed"]
    with pytest.raises(DataError) as caught:
        fetch(urls, tmp_path / "file", checksum=SHA256)
    message = caught.value.message
    assert message.startswith("cannot download file: ")
    altered = hashlib.sha256(b"?" + CONTENT[1:]).hexdigest()
    assert f"{urls[0]}: the server answers status 404" in message
    assert f"{urls[1]}: wrong checksum (sha256 {altered}, expected {SHA256[7:]})" in message
    assert f"{urls[2]}: the connection failed (" in message
    assert f"{urls[3]}: the connection failed (ConnectionError" in message
    assert caught.value.hint == f"put the file at {tmp_path / 'file'}"
    assert _files(tmp_path) == []


def test_a_silent_server_is_given_up(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/silent: (no answer in time|the connection failed)"):
        fetch([f"{server}/silent"], tmp_path / "file", checksum=SHA256, timeout=(0.2, 0.2))
    assert _files(tmp_path) == []


def test_a_good_file_is_not_fetched_again_and_a_bad_one_is(server: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    fetch([f"{server}/good"], path, checksum=SHA256)
    assert Handler.asked == []
    path.write_bytes(CONTENT[:5])
    assert fetch([f"{server}/good"], path, checksum=SHA256).read_bytes() == CONTENT
    # A failed attempt leaves even a bad file as it was.
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match="status 404"):
        fetch([f"{server}/absent"], path, checksum=SHA256)
    assert path.read_bytes() == b"mine"


def test_progress(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.data.progress._PATIENCE", -1.0)
    said: list[str] = []
    fetch([f"{server}/good"], tmp_path / "file", checksum=SHA256, progress=said.append)
    assert said[-1] == "300,000 bytes of file (300,000 in all)"


def test_no_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot download file: no address is known\n  hint: ask a friend"):
        fetch([], tmp_path / "file", checksum=SHA256, hint="ask a friend")


@pytest.mark.parametrize("checksum", ["", "md5:", "crc32:1234", "0" * 64])
def test_a_checksum_is_needed(tmp_path: Path, checksum: str) -> None:
    with pytest.raises(ValueError, match=r"expected a checksum 'sha256:\.\.\.' or 'md5:\.\.\.'; got"):
        fetch(["http://127.0.0.1:1"], tmp_path / "file", checksum=checksum)


def test_a_place_that_cannot_be_written(server: str, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot be written: .*\n  hint: set TIGHTBOUND_CACHE to another folder"):
        fetch([f"{server}/good"], blocked / "below", checksum=SHA256)
