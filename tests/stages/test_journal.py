"""Replies of servers in a file: whole lines count, a torn one is owed again."""

from __future__ import annotations

from pathlib import Path

from exante.speakers import Bill, Said
from exante.stages.journal import REPLIES, Journal, foretold, paid


def test_what_was_kept_is_there_again_whatever_ended_the_process(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.put("a", Said(text="one", tokens=3))
    first.put("b", Said(text="two\nlines"))
    with (tmp_path / REPLIES).open("a") as file:
        file.write('{"key": "c", "said": {"te')
    again = Journal(tmp_path)
    assert again.get("a") == Said(text="one", tokens=3)
    assert again.get("c") is None
    again.put("c", Said(text="three"))
    assert [said.text for said in Journal(tmp_path).all()] == ["one", "two\nlines", "three"]
    again.drop()
    assert not (tmp_path / REPLIES).exists()
    again.drop()


def test_costs_are_told_before_and_after_where_anything_is_asked() -> None:
    told: list[tuple[int, int, str]] = []
    bill = Bill(requests=2, prompt_tokens=1000, tokens=50, cost=0.25)
    foretold(bill, lambda *said: told.append(said))
    assert paid(bill, lambda *said: told.append(said)) == {"server": bill.model_dump()}
    foretold(Bill(), lambda *said: told.append(said))
    line = "2 requests, 1,000 + 50 tokens, cost 0.2500"
    assert told == [(0, 0, f"at most {line}"), (0, 0, f"used {line}")]


def test_the_cost_of_two_bills_is_known_where_both_are() -> None:
    one, other = Bill(requests=1, cost=1.0), Bill(requests=2, retries=1, uncounted=1)
    assert (one + one).cost == 2.0
    assert (one + other).cost is None
    said = "3 requests, 0 + 0 tokens, 1 tried again, 1 replies without a count of tokens"
    assert str(one + other) == said
