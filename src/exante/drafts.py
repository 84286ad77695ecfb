"""A policy document to the draft of a rule set, for a person to edit.

Text in, text out. Every clause stands below the sentence it comes from, and what is doubtful is
marked. The mechanical draft reads headings, lists and modal verbs, and understands nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(\S.*)$")
_BOLD_HEADING = re.compile(r"^\s*\*\*([^*]+?):?\*\*:?\s*$")
_ITEM = re.compile(r"^\s*(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(.*)$", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_BAN = re.compile(
    r"\b(?:must not|mustn't|may not|shall not|should not|shouldn't|cannot|can't|do not|don't|never"
    r"|not allowed|not permitted|prohibit\w*|forbidden|forbids?|banned|disallow\w*|refuse\w*"
    r"|unacceptable)\b",
    re.IGNORECASE,
)
_LEAVE = re.compile(
    r"\b(?:may|allow(?:s|ed)?|permit(?:s|ted)?|acceptable|can|is fine|are fine|encouraged)\b",
    re.IGNORECASE,
)
_DUTY = re.compile(r"\b(?:must|shall|required to|has to|have to|should)\b", re.IGNORECASE)
_TITLE_BAN = re.compile(
    r"^(?:what (?:is|we do) not.*|not (?:allowed|permitted)|prohibited.*|forbidden.*|don'?ts?"
    r"|disallowed.*|must not|never)\W*$",
    re.IGNORECASE,
)
_TITLE_LEAVE = re.compile(
    r"^(?:what is (?:allowed|fine).*|allowed.*|permitted.*|acceptable.*|exceptions?|dos?|may)\W*$",
    re.IGNORECASE,
)
_HEAD = """\
# A draft, made from {source} {how}.
# A rule set decides what a model refuses: read every line. Each clause stands below the sentence it
# comes from. DOUBTFUL marks what the draft is unsure of. Then: exante rules check FILE
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One clause, where it comes from, and what is doubtful about it."""

    text: str
    quote: str
    doubt: str = ""


@dataclass(slots=True)
class Topic:
    """One category of a draft."""

    title: str
    definition: str = ""
    prohibited: list[Drawn] = field(default_factory=list)
    allowed: list[Drawn] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Draft:
    """Categories, and sentences that made no clause."""

    topics: Sequence[Topic]
    left_out: Sequence[str] = ()


def mechanical(policy: str) -> Draft:
    """A draft by headings, lists and the words must not, may and must."""
    reader = _Reader()
    for block in _blocks(policy):
        reader.read(block)
    kept = [topic for topic in reader.topics if topic.prohibited or topic.allowed]
    return Draft(kept, reader.left_out)


def written(draft: Draft, *, name: str, source: str, how: str) -> str:
    """The YAML of a draft, comments included; `how` says who made it."""
    lines = [
        _HEAD.format(source=_plain(source), how=_plain(how)),
        "version: 1",
        f"name: {_quoted(name)}",
    ]
    lines.append("categories:")
    for number, topic in enumerate(draft.topics, start=1):
        lines += _topic_lines(f"P{number:02}", topic)
    if draft.left_out:
        lines += [
            "",
            "# Not in the draft, because it neither bans nor allows anything in so many words, or",
            "# because the model that drafted made nothing of it:",
        ]
        lines += [f"#   {_plain(text)}" for text in draft.left_out]
    return "\n".join(lines) + "\n"


def found_in(quote: str, policy: str) -> bool:
    """Does the policy hold these words, whatever the line breaks and markup between them?"""
    return bool(_words(quote)) and _words(quote) in _words(policy)


def sections(policy: str, most_characters: int) -> list[str]:
    """The policy in parts that end before a heading, none longer than that if lines allow it."""
    parts: list[str] = []
    for line in policy.splitlines(keepends=True):
        full = parts and len(parts[-1]) + len(line) > most_characters
        if not parts or full or (_HEADING.match(line) and len(parts[-1]) > most_characters // 2):
            parts.append("")
        parts[-1] += line
    return [part for part in parts if part.strip()]


@dataclass(frozen=True, slots=True)
class _Block:
    text: str
    heading: bool = False
    item: bool = False


class _Reader:
    """Follows the document: which heading it is under, and whether that bans or allows."""

    def __init__(self) -> None:
        self.topics: list[Topic] = [Topic("General")]
        self.left_out: list[str] = []
        self._stance = ""

    def read(self, block: _Block) -> None:
        if block.heading:
            self._stance = _stance_of(block.text)
            if not self._stance:
                self.topics.append(Topic(block.text))
            return
        topic = self.topics[-1]
        if block.item:
            self._place(block.text, self._stance)
            return
        if block.text.endswith(":"):
            self._stance = _stance_in(block.text) or self._stance
            return
        for sentence in _SENTENCE.split(block.text):
            begins = not (topic.definition or topic.prohibited or topic.allowed)
            if begins and not _stance_in(sentence):
                topic.definition = sentence
            else:
                self._place(sentence, "")

    def _place(self, text: str, stance: str) -> None:
        """Put a sentence where it belongs; its heading goes before its own words."""
        topic = self.topics[-1]
        own = _stance_in(text)
        if stance == "ban":
            doubt = "reads as if it were allowed or due" if own in ("leave", "duty") else ""
            topic.prohibited.append(Drawn(text, text, doubt))
        elif own == "ban":
            doubt = "stands under what is allowed" if stance == "leave" else ""
            topic.prohibited.append(Drawn(text, text, doubt))
        elif stance == "leave" or own == "leave":
            topic.allowed.append(Drawn(text, text))
        elif own == "duty":
            doubt = "says what is due: write what is prohibited by it, or drop it"
            topic.prohibited.append(Drawn(text, text, doubt))
        else:
            self.left_out.append(text)


def _stance_of(title: str) -> str:
    if _TITLE_BAN.match(title):
        return "ban"
    return "leave" if _TITLE_LEAVE.match(title) else ""


def _stance_in(text: str) -> str:
    for stance, pattern in (("ban", _BAN), ("leave", _LEAVE), ("duty", _DUTY)):
        if pattern.search(text):
            return stance
    return ""


def _blocks(policy: str) -> list[_Block]:
    """Headings, items of lists and paragraphs, each as one line without markup."""
    found: list[_Block] = []
    open_block = False
    for line in policy.splitlines():
        heading = _heading(line)
        item = _ITEM.match(line)
        if not line.strip():
            open_block = False
        elif heading is not None:
            found.append(_Block(heading, heading=True))
            open_block = False
        elif item:
            found.append(_Block(_plain(item[1]), item=True))
            open_block = True
        elif open_block:
            last = found.pop()
            found.append(_Block(f"{last.text} {_plain(line)}", item=last.item))
        else:
            found.append(_Block(_plain(line)))
            open_block = True
    return [block for block in found if block.text]


def _heading(line: str) -> str | None:
    """What a heading says, marked by `#` or in bold letters; None for other lines."""
    if found := _HEADING.match(line):
        return _plain(found[1].rstrip().rstrip("#"))
    return _plain(found[1]) if (found := _BOLD_HEADING.match(line)) else None


def _topic_lines(identity: str, topic: Topic) -> list[str]:
    lines = [f"  - id: {identity}", f"    title: {_quoted(topic.title)}"]
    if not topic.definition:
        lines.append("    # DOUBTFUL: the document does not say what this category is about")
    lines.append(f"    definition: {_quoted(topic.definition or topic.title)}")
    for name, mark, clauses in (
        ("prohibited", "", topic.prohibited),
        ("allowed", "a", topic.allowed),
    ):
        if clauses:
            lines.append(f"    {name}:")
        for number, clause in enumerate(clauses, start=1):
            lines.append(f"      # {_plain(clause.quote)}")
            if clause.doubt:
                lines.append(f"      # DOUBTFUL: {_plain(clause.doubt)}")
            text = _quoted(clause.text)
            lines.append(f"      - {{id: {identity}.{mark}{number}, text: {text}}}")
    if not topic.allowed:
        lines.append(
            "    # DOUBTFUL: nothing is allowed here; a model may refuse what only looks alike"
        )
    return lines


def _quoted(text: str) -> str:
    """A YAML scalar; JSON's strings are YAML's once nothing unprintable is in them."""
    return json.dumps(_plain(text), ensure_ascii=False)


def _plain(text: str) -> str:
    """One line without emphasis and unprintable characters."""
    flat = " ".join(text.replace("**", "").replace("`", "").split())
    return "".join(c for c in flat if c.isprintable() and not "\ud800" <= c <= "\udfff")


def _words(text: str) -> str:
    return " " + " ".join(re.findall(r"\w+", text.lower())) + " "
