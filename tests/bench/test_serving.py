"""A small load on a real server; nothing is timed."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.tiny import tiny_model

from exante.bench import serving
from exante.bench.serving import LoadSpec, load
from exante.errors import RunError


def test_no_answer_is_lost_or_mixed_up(tmp_path: Path) -> None:
    model = str(tiny_model(tmp_path / "tiny"))
    spec = LoadSpec(model=model, requests=40, clients=6, prompts=5, max_tokens=12, rows=2, queue=0)
    found = load(spec)
    assert (found.answered, found.mixed_up, found.lost, found.given_up) == (40, 0, 0, 0)
    assert found.turned_away > 0
    assert found.different == 5
    assert (found.taken_at_shutdown, found.finished_at_shutdown, found.ended_well) == (2, 2, True)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no model"):
        load(LoadSpec(model=str(tmp_path), requests=20))


NOWHERE = "http://127.0.0.1:1/v1"


def test_a_server_that_is_gone_is_counted_and_not_raised() -> None:
    """After a long load its result must not be lost with the server."""
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    process.wait()
    assert serving._shut_down(process, NOWHERE, ["a", "b"]) == (0, 0, False)


def test_a_server_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_GIVE_UP_SECONDS", 0.1)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert not serving._ended(process)
    finally:
        process.kill()
        process.wait()


class Broken(BaseHTTPRequestHandler):
    """Answers everything with half of an answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'data: {"choices": [{"delta')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("stream", [False, True])
def test_half_an_answer_is_lost_and_not_raised(stream: bool) -> None:
    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.handle_request).start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        reply = serving._answered(address, "a", 8, stream=stream)
    assert (reply.status, reply.whole) == (200, False)


class Full(Broken):
    """Turns everybody away."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(429)
        self.send_header("retry-after", "1")
        self.end_headers()


@pytest.mark.parametrize(("handler", "outcome"), [(Full, "given_up"), (Broken, "lost")])
def test_a_client_that_is_only_turned_away_has_lost_nothing(
    handler: type[Broken], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_GIVE_UP_SECONDS", 0.2)
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        found, away, _ = serving._request(address, LoadSpec(), "a", False, {})
        server.shutdown()
        thread.join()
    assert (found, away > 0) == (outcome, handler is Full)
