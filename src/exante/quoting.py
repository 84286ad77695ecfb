"""A text as data where it would act: in the prompt of a judge or teacher, on a terminal, in a log.

Pure functions; for pages see `pages.render`. Who writes an answer may write to its judge, too:
HarmBench's own code, for one, passes `[/INST]` of an answer on (HarmBench issue 91). Words remain,
and may still talk a judge round; that is what a second, unlike judge is for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

_MARKUP = re.compile(
    r"<\|[^<>\n]{0,64}\|>"  # ChatML, Llama 3, Phi, WildGuard
    r"|<｜[^<>\n]{0,64}｜>"  # DeepSeek
    r"|<</?SYS>>"
    r"|</?s>|</?(?:bos|eos|pad|unk|mask|think)>"
    r"|<(?:start|end)_of_(?:turn|image)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|\[(?:BEHAVIOR|GENERATION|CONTEXT)\]"
    r"|</?(?:BEGIN|END) [A-Z ]{1,40}>",
    re.IGNORECASE,
)
_BREAK = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # ESC, CR, backspace, and the C1 forms of CSI and OSC
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"  # line ends and directions of their own
    "\u180e\u200b\u2060-\u2065\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"  # what nobody sees
    "\ud800-\udfff]"  # halves of characters, which cannot be written
)
_SECRET = re.compile(
    r"(?<=://)[^\s/@\"']*:[^\s/@\"']*(?=@)"
    r"|(?<=[?&])(?:api[_-]?key|key|access[_-]?token|token|secret|password|sig|signature)=[^&\s\"']+"
    r"|(?<=bearer )[\w.~+/-]{12,}=*"
    r"|(?<![A-Za-z0-9])(?:hf_|sk-|gh[pousr]_|glpat-|AKIA|xox[abp]-)(?=[a-z_-]*\d)[\w-]{16,}",
    re.IGNORECASE,
)
_HIDDEN = "..."
_BRACKETS = str.maketrans("<>[]", "()()")
_QUOTE = "| "


def defuse(text: str) -> str:
    """The text with the brackets of control markup turned into parentheses, and plain line ends.

    `<|eot_id|>` becomes `(|eot_id|)`: readable, and no token that ends a turn. Other text stays.
    """
    found, count = _BREAK.sub("\n", text), 1
    while count:
        # Markup inside markup is a whole only once the inner one is gone.
        found, count = _MARKUP.subn(lambda match: match[0].translate(_BRACKETS), found)
    return found


def indented(text: str, labels: Sequence[str]) -> str:
    """The text with `> ` before lines that look like a heading of the prompt around it.

    `labels` are words that begin such a line and are followed by a colon; rules (`---`, `===`) are
    headings, too.
    """
    words = "|".join(map(re.escape, labels))
    heading = re.compile(rf"^(?=\s*(?:(?:{words})\s*:|-{{3,}}\s*$|={{3,}}\s*$))", re.IGNORECASE)
    return "\n".join(heading.sub("> ", line) for line in text.split("\n"))


def quoted(text: str) -> str:
    """The text without markup, each line behind `| `: none of them can be a line of the prompt."""
    return "\n".join(_QUOTE + line for line in defuse(text).split("\n"))


def mark_of(*texts: str) -> str:
    """A word that none of the texts can hold: a hash of all of them, 16 hex digits."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "big"))
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def visible(text: str) -> str:
    r"""The text with characters that would act on a terminal, or are not seen, as `\uXXXX`.

    Line feed and tab stay, and so do joiners, which scripts and emoji need. Text that was JSON is
    still the same JSON.
    """
    return _ACTING.sub(_escaped, text)


def holds_secret(text: str) -> bool:
    """Does it look as if a key, a token or a password stood in the text?"""
    return _SECRET.search(text) is not None


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without these secrets, and without what looks like one."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return _SECRET.sub(_HIDDEN, text)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
