"""Decision records as a JSON Lines file, without texts unless they are asked for."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from exante.errors import InputError
from exante.quoting import visible
from exante.serving.protocol import ChatRequest, Choice


class AuditLog:
    """Appends a line per finished turn; readable by its owner only."""

    def __init__(self, path: Path, *, texts: bool) -> None:
        """`texts` adds the messages, the trace as shown, and the answer.

        Raises:
            InputError: the file cannot be written.
        """
        self.path, self.texts = path, texts
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}", where=str(path), fix="choose another --log"
            ) from None
        self._file = os.fdopen(descriptor, "a", encoding="utf-8")

    def write(self, request: str, model: str, asked: ChatRequest, choice: Choice) -> None:
        """One line, on the disk when this returns as far as the system is concerned."""
        line: dict[str, Any] = {
            "time": int(time.time()),
            "id": request,
            "model": model,
            "choice": choice.index,
            "finish_reason": choice.finish,
            "tokens": choice.tokens,
            "reasoning_tokens": choice.reasoning_tokens,
            **choice.record.model_dump(mode="json"),
        }
        if self.texts:
            line["messages"] = [message.model_dump() for message in asked.messages]
            line["reasoning"], line["content"] = choice.reasoning, choice.content
        # Still the same JSON; who reads the file in a terminal is not acted on.
        self._file.write(visible(json.dumps(line, ensure_ascii=False)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
