"""Servers for tests: one that plays a script, and a proxy that puts faults before a real one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Reply = tuple[int, dict[str, str], bytes]


def completion(text: Any, **message: Any) -> bytes:
    """A chat completion as a server sends it, with a count of tokens."""
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


class Server(ThreadingHTTPServer):
    """Keeps what it was asked."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.seen: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()

    def handle_error(self, *_: Any) -> None:
        """A client that left is no news."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Scripted(Server):
    """Gives its replies one after another, the last one for ever; echoes without any."""

    def __init__(self) -> None:
        super().__init__(_Scripted)
        self.replies: list[Reply] = []
        self.models: Any = [{"id": "some/model", "owned_by": "tests"}]
        self.list_status = 200
        self.at_once = self.most_at_once = 0
        self.together: threading.Barrier | None = None
        """Where replies wait until there are as many."""

    def reply_to(self, body: dict[str, Any]) -> Reply:
        with self.lock:
            self.seen.append(body)
            if len(self.replies) > 1:
                return self.replies.pop(0)
            if self.replies:
                return self.replies[0]
        return 200, {}, completion(f"<{body['messages'][-1]['content']}>")


class _Quiet(BaseHTTPRequestHandler):
    def send(self, reply: Reply) -> None:
        status, headers, content = reply
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Scripted(_Quiet):
    server: Scripted

    def do_GET(self) -> None:  # noqa: N802 (the standard library's name)
        listed = json.dumps({"data": self.server.models}).encode()
        self.send((self.server.list_status, {}, listed))

    def do_POST(self) -> None:  # noqa: N802 (the standard library's name)
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.paths.append(self.path)
            server.keys.append(self.headers.get("Authorization"))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        if server.together is not None:
            server.together.wait()
        reply = server.reply_to(body)
        with server.lock:
            server.at_once -= 1
        self.send(reply)


class Proxy(Server):
    """Hands requests on to a real server, but for the faults it is given, one per request.

    A fault is a status with its headers, or `half` (truncated JSON), `none` (no choice), `reset`
    (the connection closes in the middle) or `slow` (no answer in time).
    """

    def __init__(self, behind: str, faults: list[str | tuple[int, dict[str, str]]]) -> None:
        super().__init__(_Proxy)
        self.behind = urlsplit(behind)
        self.faults = faults


class _Proxy(_Quiet):
    server: Proxy

    def do_GET(self) -> None:  # noqa: N802 (the standard library's name)
        self.send(self._behind("GET", None))

    def do_POST(self) -> None:  # noqa: N802 (the standard library's name)
        server = self.server
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, tuple):
            self.send((fault[0], fault[1], b"a fault of the test"))
        elif fault == "none":
            self.send((200, {}, b'{"choices": []}'))
        elif fault == "slow":
            time.sleep(2)
        else:
            self._pass_on(fault, sent)

    def _pass_on(self, fault: str | None, sent: bytes) -> None:
        status, headers, content = self._behind("POST", sent)
        if fault == "half":
            self.send((status, headers, content[: len(content) // 2]))
        elif fault == "reset":
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:10])
            self.wfile.flush()
            self.connection.close()
        else:
            with self.server.lock:
                self.server.seen.append(json.loads(sent))
            self.send((status, headers, content))

    def _behind(self, method: str, sent: bytes | None) -> Reply:
        place = self.server.behind
        connection = HTTPConnection(str(place.hostname), place.port or 80, timeout=60)
        connection.request(method, self.path, sent, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, {"Content-Type": "application/json"}, reply.read()


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    """The server answers inside the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
