"""Policy documents to drafts: what is a clause, what is doubtful, what always loads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exante import rules
from exante.drafts import found_in, mechanical, sections, written

POLICY = """\
# House policy

This document may change.

## Locks

Requests about opening locks. The assistant must not explain how a lock of somebody else is
opened. Owners may ask about *their own* locks.

### Prohibited

- Lists of **tools** for burglary
- Owners can be helped

## Mushrooms

The assistant must never:

1. name poisonous mushrooms as food
2) say that a doubtful one is fine

**Allowed:**
* Where mushrooms grow
* "Quotes": and 'colons' # stay text

## Duties
Staff must report accidents.
The weather was fine.
"""


def test_headings_lists_and_modal_verbs_make_clauses() -> None:
    topics = {topic.title: topic for topic in mechanical(POLICY).topics}
    assert list(topics) == ["House policy", "Locks", "Mushrooms", "Duties"]
    locks = topics["Locks"]
    assert locks.definition == "Requests about opening locks."
    assert [clause.text for clause in locks.prohibited] == [
        "The assistant must not explain how a lock of somebody else is opened.",
        "Lists of tools for burglary",
        "Owners can be helped",
    ]
    assert locks.prohibited[2].doubt == "reads as if it were allowed or due"
    assert [clause.text for clause in locks.allowed] == ["Owners may ask about *their own* locks."]
    mushrooms = topics["Mushrooms"]
    assert len(mushrooms.prohibited) == 2
    assert [bool(clause.doubt) for clause in mushrooms.prohibited] == [False, True]
    assert [clause.text for clause in mushrooms.allowed][0] == "Where mushrooms grow"


def test_a_duty_is_doubtful_and_what_is_neither_is_left_out() -> None:
    draft = mechanical(POLICY)
    assert "says what is due" in draft.topics[-1].prohibited[0].doubt
    assert "The weather was fine." in draft.left_out


def test_a_draft_loads_and_quotes_its_sources_as_comments() -> None:
    text = written(mechanical(POLICY), name="house", source="policy.md", how="by a test")
    ruleset = rules.parse(text, where="draft.yaml")
    assert ruleset.clause_ids("P02") == {"P02.1", "P02.2", "P02.3", "P02.a1"}
    lines = text.splitlines()
    place = next(n for n, line in enumerate(lines) if "P02.2" in line)
    assert lines[place - 1].strip() == "# Lists of tools for burglary"
    assert any("DOUBTFUL: reads as if it were allowed" in line for line in lines)
    assert any("DOUBTFUL: nothing is allowed here" in line for line in lines)
    assert "# A draft, made from policy.md by a test." in text
    assert "#   The weather was fine." in text


@pytest.mark.parametrize(
    ("line", "title"),
    [("# Locks", "Locks"), ("## Locks ##  ", "Locks"), ("**Locks #:**", "Locks #"), ("# #", "")],
)
def test_headings_lose_their_marks(line: str, title: str) -> None:
    titles = [topic.title for topic in mechanical(f"{line}\nKeys must not be sold.").topics]
    assert titles == [title or "General"]


def test_a_heading_with_a_wide_gap_is_read_at_once() -> None:
    """Tried in all ways, it would take days."""
    policy = f"# Locks{' ' * 10_000}and keys\nKeys must not be sold."
    assert [topic.title for topic in mechanical(policy).topics] == ["Locks and keys"]


@given(st.text(max_size=200).map(lambda text: f"# {text}\n- {text} must not be\n{text} may be"))
def test_any_document_makes_a_file_that_loads(policy: str) -> None:
    draft = mechanical(policy)
    if draft.topics:
        rules.parse(written(draft, name=policy[:9] or "a", source=policy, how="so"), where="d")


def test_a_quote_is_found_across_line_breaks_and_markup() -> None:
    assert found_in("how a lock of somebody else is opened", POLICY)
    assert found_in("Lists of tools", POLICY)
    assert not found_in("how a lock is opened", POLICY)
    assert not found_in(" ", POLICY)


@pytest.mark.parametrize("most", [40, 200, 10_000])
def test_parts_are_the_whole(most: int) -> None:
    parts = sections(POLICY, most)
    assert "".join(parts).split() == POLICY.split()
    assert len(parts) == 1 or all(len(part) <= most + 100 for part in parts)
