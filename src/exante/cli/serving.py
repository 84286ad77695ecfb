"""`exante serve`: a model behind OpenAI's chat protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exante.cli import completion
from exante.cli.options import ModelName
from exante.cli.terminal import echo
from exante.errors import InputError

Host = Annotated[str, typer.Option(help="Address; one that others reach needs --api-key-env.")]
Port = Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)]
ModeName = Annotated[
    str, typer.Option(help="Traces: full, hidden, adaptive (short without a risk), off.")
]
TraceTokens = Annotated[
    int | None, typer.Option(help="A trace that reaches so many tokens is closed.", min=1)
]
RulesName = Annotated[
    str | None,
    typer.Option(
        help="Rule set of the clauses; None: that of the run.", autocompletion=completion.rules
    ),
]
Name = Annotated[str | None, typer.Option(help="Name of the model for clients.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens of a turn, trace included.", min=1)]
Context = Annotated[int, typer.Option(help="Most tokens of prompt and turn together.", min=16)]
Rows = Annotated[int | None, typer.Option(help="Turns decoded together; None: by memory.", min=1)]
Queue = Annotated[int, typer.Option(help="Requests that may wait.", min=0)]
Timeout = Annotated[float, typer.Option(help="Seconds for one request.", min=0.01)]
MaxBody = Annotated[int, typer.Option(help="Most bytes of a request.", min=256)]
KeyVariable = Annotated[
    str | None, typer.Option(help="Environment variable with the key that clients bring.")
]
LogFile = Annotated[
    Path | None, typer.Option(help="Append the decision of every turn to this JSONL file.")
]
LogTexts = Annotated[bool, typer.Option("--log-texts", help="Log prompts and answers, too.")]
ForVllm = Annotated[
    Path | None, typer.Option(help="Serve nothing: write what vLLM needs into this folder.")
]


def serve(
    model: ModelName,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    mode: ModeName = "full",
    trace_tokens: TraceTokens = None,
    rules: RulesName = None,
    name: Name = None,
    max_tokens: MaxTokens = 2048,
    context: Context = 8192,
    rows: Rows = None,
    queue: Queue = 64,
    timeout: Timeout = 300.0,
    max_body: MaxBody = 1 << 20,
    api_key_env: KeyVariable = None,
    log: LogFile = None,
    log_texts: LogTexts = False,
    vllm: ForVllm = None,
) -> None:
    """Serve a model by OpenAI's protocol: reasoning apart, with a record of what was decided.

    Example: exante serve runs/demo --port 8000 --trace-tokens 256 --log decisions.jsonl
    """
    if vllm is not None:
        return echo(_for_vllm(model, vllm))
    if log_texts and log is None:
        raise InputError("there is no log", where="--log-texts", fix="add --log FILE")
    _require_serving()
    from exante.serving import server
    from exante.serving.asking import Limits

    settings = server.ServerSettings(
        model=model,
        host=host,
        port=port,
        mode=server.mode_of(mode),
        trace_tokens=trace_tokens,
        rules=rules,
        name=name,
        context=context,
        limits=Limits(tokens=max_tokens, seconds=timeout, body_bytes=max_body),
        rows=rows,
        queue=queue,
        api_key_env=api_key_env,
        log=log,
        log_texts=log_texts,
    )
    server.serve(settings, lambda line: echo(line, err=True))


def _require_serving() -> None:
    from exante.integrations import require

    for package in ("starlette", "uvicorn"):
        require(package, "serve")


def _for_vllm(model: str, folder: Path) -> str:
    """The command for vLLM, whose files are written.

    Raises:
        InputError: the model is an adapter.
    """
    from exante.models.adapters import is_adapter
    from exante.serving.vllm import write_vllm_files
    from exante.stages.runs import model_folder, trace_of

    found = model_folder(model)
    if is_adapter(found):
        raise InputError(
            "is an adapter, and the files are for whole weights",
            where=str(found),
            fix=f"exante model merge {model} -o merged && exante serve merged --vllm {folder}",
        )
    return write_vllm_files(found, folder, opened=trace_of(str(found)) == "open")
