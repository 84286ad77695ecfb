"""A real server process on a taught model, and clients for it."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.commands import environment
from tests.taught import taught_model
from tests.tiny import tiny_model

from exante.models.folders import mark_trace
from exante.serving.server import (
    ServerSettings,
    address_of,
    http_server,
    opened_port,
    service_of,
)


@dataclass(frozen=True)
class Served:
    """A running server."""

    process: subprocess.Popen[bytes] | None
    url: str
    name: str

    def client(self, **options: Any) -> OpenAI:
        return OpenAI(base_url=self.url, **{"api_key": "none", "max_retries": 0, **options})


@contextmanager
def serving(model: Path | str, *options: str, **variables: str) -> Iterator[Served]:
    """`exante serve` on a free port of this machine; ended by SIGTERM."""
    command = [sys.executable, "-m", "exante", "serve", str(model), "--port", "0", *options]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stderr=said, env=environment(**variables))

        def told() -> str:
            said.seek(0)
            return said.read()

        try:
            while "\n" not in told() and process.poll() is None:
                time.sleep(0.05)
            found = re.match(r"serving (.+) at (http://\S+)\n", told())
            assert found, told()
            yield Served(process, found[2], found[1])
        finally:
            process.terminate()
            process.wait(timeout=60)
            # pytest shows it beside what failed.
            sys.stderr.write(told())


@contextmanager
def threaded(model: Path, key: str | None = None, **settings: Any) -> Iterator[Served]:
    """The same server in a thread of this process."""
    asked = ServerSettings(model=str(model), **settings)
    with opened_port(asked.host, 0) as listening:
        service = service_of(asked, key)
        server = http_server(service)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Served(None, address_of(listening), service.name)
        finally:
            server.should_exit = True
            thread.join()
            if service.log is not None:
                service.log.close()


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows a few turns by heart, marked as one whose trace is opened."""
    folder = taught_model(tmp_path_factory.mktemp("taught") / "tiny")
    mark_trace(folder, "open")
    return folder


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model; what it writes at temperature 0 has no end."""
    folder = tiny_model(tmp_path_factory.mktemp("endless") / "endless", seed=1)
    mark_trace(folder, "open")
    return folder


@pytest.fixture(scope="session")
def served(taught: Path) -> Iterator[Served]:
    with serving(taught, "--rules", "general", "--rows", "4") as found:
        yield found


@pytest.fixture
def client(served: Served) -> OpenAI:
    return served.client()


Ask = Callable[..., Any]


@pytest.fixture
def ask(client: OpenAI, served: Served) -> Ask:
    """One user message, answered in at most 120 tokens."""

    def asked(text: str, **options: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        settings = {"model": served.name, "messages": messages, "max_tokens": 120, **options}
        return client.chat.completions.create(**settings)

    return asked


def body_of(served: Served, tokens: int) -> Any:
    """A request of so many tokens at most."""
    messages = [{"role": "user", "content": "Say something else?"}]
    return {"model": served.name, "messages": messages, "max_tokens": tokens}
