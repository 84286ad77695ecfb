"""vLLM plug-in: the trace of a model trained by exante, apart from its answer.

`vllm serve MODEL --reasoning-parser-plugin exante_reasoning.py --reasoning-parser exante`

The built-in parsers look for think tags that are single tokens, which most vocabularies do not
have; this one reads text. The chat template may open the trace: text without an opening tag is
reasoning until the closing tag comes.
"""

from collections.abc import Sequence
from typing import Any

from vllm.entrypoints.openai.engine.protocol import DeltaMessage
from vllm.reasoning import ReasoningParser, ReasoningParserManager

OPEN, CLOSE = "<think>", "</think>"
ASSESS = "<assess>"


def split(text: str) -> tuple[str, str | None]:
    """Trace and answer of a turn so far; the answer is None until the trace is closed.

    What may yet become a closing tag is left out of both.
    """
    body = text.lstrip()
    if OPEN.startswith(body) or ASSESS.startswith(body):
        return "", None
    # Behind a template that opens it, the trace begins within its first section.
    start = "" if body.startswith((OPEN, ASSESS)) else ASSESS
    body = body.removeprefix(OPEN)
    trace, close, answer = body.partition(CLOSE)
    if close:
        return start + trace, answer.lstrip()
    held = next(size for size in range(len(CLOSE) - 1, -1, -1) if body.endswith(CLOSE[:size]))
    return start + body[: len(body) - held], None


@ReasoningParserManager.register_module("exante")
class ExanteReasoningParser(ReasoningParser):
    """Text before the closing tag is reasoning, what follows is the answer."""

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Is the trace closed?"""
        return CLOSE in self.model_tokenizer.decode(input_ids)

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        """The tokens behind the closing tag."""
        for end in range(1, len(input_ids) + 1):
            if CLOSE in self.model_tokenizer.decode(input_ids[:end]):
                return list(input_ids[end:])
        return []

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """Trace and answer of a whole turn."""
        trace, answer = split(model_output)
        if answer is None:
            # Nothing follows: what was held back for a tag is text after all.
            trace = split(model_output + "\0")[0].removesuffix("\0")
        return trace or None, answer or None

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        """What the newest text adds to either."""
        before, now = split(previous_text), split(current_text)
        reasoning = now[0][len(before[0]) :]
        content = (now[1] or "")[len(before[1] or "") :]
        if not reasoning and not content:
            return None
        return DeltaMessage(reasoning=reasoning or None, content=content or None)
