"""What vLLM needs beside a model folder: how its turns begin, and where its trace ends.

vLLM itself is not imported: it runs in an environment of its own.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from exante.durable import copy_file, write_text
from exante.models.chat import Chat
from exante.models.load import load_chat

TEMPLATE, PARSER = "chat_template.jinja", "exante_reasoning.py"
_SOURCE = Path(__file__).parent / "vllm_plugin" / PARSER


def write_vllm_files(model: Path, folder: Path, *, opened: bool) -> str:
    """Write chat template and parser to `folder`; the command that serves the model with them.

    `opened`: the template begins the assistant's turn with the opening of the trace.
    """
    chat = load_chat(model)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / TEMPLATE, opening_template(chat, opened=opened))
    copy_file(_SOURCE, folder / PARSER)
    words = ["vllm", "serve", str(model), "--chat-template", str(folder / TEMPLATE)]
    parser = ["--reasoning-parser-plugin", str(folder / PARSER), "--reasoning-parser", "exante"]
    return shlex.join([*words, *parser])


def opening_template(chat: Chat, *, opened: bool) -> str:
    """The chat's own template; it opens the trace where a turn is to be written.

    Not for `exante`, which opens traces by itself and would do it twice.
    """
    own = str(chat.tokenizer.get_chat_template())
    if not opened:
        return own
    # What the template opens by itself, as those of reasoning families do, is there already.
    begun = chat.beginning("open").removeprefix(chat.mechanics.opens)
    start = json.dumps(chat.mechanics.lead + begun, ensure_ascii=False)
    return f"{own}{{% if add_generation_prompt %}}{{{{ {start} }}}}{{% endif %}}"
