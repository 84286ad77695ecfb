"""What libraries raise for files that are no model; whoever loads one turns it into a message."""

from __future__ import annotations

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

UNFIT = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RuntimeError, SafetensorError, StrictDataclassError),
)
"""transformers computes with a config's fields before it looks at them: a word is a TypeError, no
head a division by zero, and a list in the place of an object an AttributeError."""


def first_line(error: Exception) -> str:
    """What an error says at first; libraries go on over many lines."""
    said = str(error).strip().splitlines()
    return said[0][:300] if said else type(error).__name__
