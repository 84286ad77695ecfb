"""Loads a model and serves it until it is told to stop."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from exante import rules as rule_sets
from exante.errors import InputError, unknown_name
from exante.models.devices import sampling_dtype
from exante.models.load import context_length, load_chat, load_model
from exante.models.memory import tune_memory
from exante.models.sample import rows_that_fit
from exante.rules import RuleSet
from exante.serving.app import Service, app_of
from exante.serving.asking import Limits
from exante.serving.audit import AuditLog
from exante.serving.connections import PatientProtocol
from exante.serving.decisions import MODES, Mode
from exante.serving.engine import Engine
from exante.serving.turn import TraceSettings
from exante.stages.base import RECIPE
from exante.stages.runs import model_folder, recipe_of, trace_of

_MOST_ROWS = 64
_CONNECTIONS = 512
"""More than this many at a time are turned away before they are read."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What to serve, to whom, and how much of it."""

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    mode: Mode = "full"
    trace_tokens: int | None = None
    rules: str | None = None
    """None takes those of the run."""
    name: str | None = None
    """As clients ask for it; None takes the name of the folder."""
    context: int = 8192
    """Most tokens of prompt and turn together."""
    limits: Limits = field(default_factory=Limits)
    rows: int | None = None
    """Turns that are decoded together; None takes as many as memory allows."""
    queue: int = 64
    """Requests that may wait."""
    api_key_env: str | None = None
    log: Path | None = None
    log_texts: bool = False


def serve(settings: ServerSettings, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; running requests are finished, new ones are not taken.

    `told` gets a line with the address once the port is open.

    Raises:
        InputError: there is no such model, it cannot be served, or the address cannot be used.
    """
    tune_memory()
    key = api_key(settings)
    with opened_port(settings.host, settings.port) as listening:
        service = service_of(settings, key)
        # uvicorn raises the signal again when all is done; by then there is nothing left to stop.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        told(f"serving {service.name} at {address_of(listening)}")
        http_server(service).run(sockets=[listening])
        if service.log is not None:
            service.log.close()


def http_server(service: Service) -> uvicorn.Server:
    """What speaks HTTP, not started yet."""
    config = uvicorn.Config(
        app_of(service),
        http=PatientProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(service.limits.seconds) + 1,
    )
    return uvicorn.Server(config)


def address_of(listening: socket.socket) -> str:
    """The base URL for clients."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/v1"


def mode_of(name: str) -> Mode:
    """The mode of that name.

    Raises:
        InputError: there is none.
    """
    for mode in MODES:
        if mode == name:
            return mode
    raise unknown_name("mode", name, MODES, where="--mode")


def api_key(settings: ServerSettings) -> str | None:
    """The key that clients must bring, from the environment.

    Raises:
        InputError: the variable is empty, or there is none and others can reach the address.
    """
    name = settings.api_key_env
    if name is None:
        if is_local(settings.host):
            return None
        raise InputError(
            "others can reach this address, and there is no API key",
            where=f"--host {settings.host}",
            fix="name the environment variable that holds one: --api-key-env NAME",
        )
    key = os.environ.get(name, "")
    if not key:
        raise InputError("is not set", where=f"--api-key-env {name}", fix=f"export {name}=...")
    return key


def is_local(host: str) -> bool:
    """Can only this machine reach the address?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def service_of(settings: ServerSettings, key: str | None = None) -> Service:
    """The loaded model behind an engine, and what belongs to it.

    Raises:
        InputError: see `serve`.
    """
    named = Path(settings.model).expanduser()
    folder = model_folder(settings.model)
    log = AuditLog(settings.log, texts=settings.log_texts) if settings.log else None
    traces = TraceSettings(
        mode=settings.mode,
        opened=trace_of(str(folder)) == "open",
        most_tokens=settings.trace_tokens,
        rules=_rules(settings.rules, named),
    )
    model, chat = load_model(folder, dtype=sampling_dtype("auto")), load_chat(folder)
    columns = min(settings.context, context_length(model))
    engine = Engine(
        model,
        chat,
        traces,
        rows=settings.rows or min(_MOST_ROWS, rows_that_fit(model, columns)),
        columns=columns,
        queue=settings.queue,
    )
    name = settings.name or (named.resolve().name if named.is_dir() else settings.model)
    host = settings.host if is_local(settings.host) else None
    return Service(name, engine, settings.limits, log, key, host)


def _rules(name: str | None, run: Path) -> RuleSet | None:
    """The rule set of that name, or the one that a run's recipe names."""
    if name is None:
        if not (run / RECIPE).is_file():
            return None
        name = recipe_of(run)["settings"].get("rules")
    return rule_sets.load(name) if name else None


def opened_port(host: str, port: int) -> socket.socket:
    """A port that takes connections.

    Raises:
        InputError: the address is not of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError, TypeError) as error:
        # TypeError: the host is no name at all.
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot be opened: {reason}",
            where=f"{host}:{port}",
            fix="choose another --port, or a --host of this machine",
        ) from None
    return listening
