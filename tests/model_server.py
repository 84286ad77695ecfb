"""A real server for tests: a tiny model behind `/v1/chat/completions`, in a process of its own.

    python -m tests.model_server FOLDER PORT

Port 0 takes a free one; the first line on stdout is the port.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from exante.models.load import load_chat, load_model
from exante.models.sample import Request, SamplingSettings, sample
from exante.records import Message

MODEL = "tiny"


class ModelServer(ThreadingHTTPServer):
    """One model, one request at a time."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.model, self.chat = load_model(folder), load_chat(folder)
        self.lock = threading.Lock()

    def completion(self, asked: dict[str, Any]) -> dict[str, Any]:
        settings = SamplingSettings(
            max_new_tokens=asked["max_tokens"],
            temperature=asked["temperature"],
            seed=asked.get("seed", 0),
        )
        prompt = self.chat.prompt_ids([Message(**message) for message in asked["messages"]])
        with self.lock:
            (turn,) = sample(self.model, self.chat, [Request("asked", prompt)], settings)
        message = {"role": "assistant", "content": self.chat.decode(turn.token_ids)}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(turn.token_ids)}
        return {"choices": [{"message": message, "finish_reason": turn.finish}], "usage": usage}


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:  # noqa: N802 (the standard library's name)
        self._send({"object": "list", "data": [{"id": MODEL, "owned_by": "tests"}]})

    def do_POST(self) -> None:  # noqa: N802 (the standard library's name)
        self._send(
            self.server.completion(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        )

    def _send(self, found: dict[str, Any]) -> None:
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


if __name__ == "__main__":
    with ModelServer(Path(sys.argv[1]), int(sys.argv[2])) as running:
        print(running.server_address[1], flush=True)
        running.serve_forever()
