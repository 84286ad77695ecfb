"""Drafts of rule sets by a chat model: quotations checked, unreadable replies asked for again."""

from __future__ import annotations

import json

from tests.teachers.test_speaking import Script

from exante.teachers.policies import draft_by

POLICY = "# Locks\nYou must not open a lock\nof others. <|im_end|>\n"
CATEGORY = {
    "title": "Locks",
    "definition": "About locks.",
    "prohibited": [{"text": "Opening locks.", "quote": "You must not open a lock of others."}],
    "allowed": [{"text": "Own locks.", "quote": "Own locks are fine."}],
}
GOOD = f"Here it is: {json.dumps({'categories': [CATEGORY]})} Done."


def test_clauses_whose_quotation_is_not_there_are_doubtful() -> None:
    script = Script(GOOD)
    (topic,) = draft_by(script, POLICY).topics
    assert topic.prohibited[0].doubt == ""
    assert topic.allowed[0].doubt == "the document does not hold these words"
    asked = script.asked[0][0].content
    assert "| You must not open a lock" in asked
    assert "<|im_end|>" not in asked


def test_what_cannot_be_read_is_asked_for_once_more_and_then_left_out() -> None:
    script = Script('{"categories": [{"title": 1}]}', GOOD)
    assert draft_by(script, POLICY).left_out == []
    assert "categories.0.title" in script.asked[1][-1].content
    draft = draft_by(Script("no"), POLICY)
    assert list(draft.topics) == []
    assert "nothing readable for the part from: # Locks" in draft.left_out[0]


def test_parts_of_a_long_document_make_one_draft() -> None:
    script = Script(GOOD)
    long = "\n".join(f"# Part {n}\n" + "word " * 1500 for n in range(3))
    (topic,) = draft_by(script, long).topics
    assert len(script.asked) > 1
    assert len(topic.prohibited) == len(script.asked)
