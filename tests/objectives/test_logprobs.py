"""Log-probs of tokens against a plain softmax, and the losses on them."""

from __future__ import annotations

import pytest
import torch

from exante.objectives.control import next_alpha
from exante.objectives.logprobs import response_logprobs, token_logprobs
from exante.objectives.tokens import cross_entropy, mean_per_token


def test_each_token_is_scored_by_the_logits_before_it() -> None:
    torch.manual_seed(0)
    logits, ids = torch.randn(3, 5, 11, dtype=torch.float64), torch.randint(0, 11, (3, 5))
    found = token_logprobs(logits, ids)
    assert found[:, 0].tolist() == [0.0] * 3
    plain = logits.softmax(-1)
    for row in range(3):
        for place in range(1, 5):
            expected = plain[row, place - 1, ids[row, place]].log()
            assert found[row, place].item() == pytest.approx(expected.item(), abs=1e-5)


def test_half_precision_logits_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    logits, ids = torch.randn(2, 7, 50), torch.randint(0, 50, (2, 7))
    found = token_logprobs(logits.bfloat16(), ids)
    assert found.dtype == torch.float32
    assert torch.allclose(found, token_logprobs(logits.bfloat16().float(), ids))


def test_only_the_response_counts() -> None:
    logprobs = torch.tensor([[0.0, -1.0, -2.0, -4.0]])
    response = torch.tensor([[False, False, True, True]])
    assert response_logprobs(logprobs, response).tolist() == [-6.0]


def test_weights_leave_tokens_out_and_long_rows_count_by_length() -> None:
    logprobs = torch.tensor([[0.0, -1.0, -3.0], [0.0, -5.0, -7.0]])
    weights = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 2.0]])
    losses = cross_entropy(logprobs, weights)
    assert losses.tolist() == [4.0, 14.0]
    assert mean_per_token(losses, weights).item() == pytest.approx(18 / 3)


def test_the_unit_weighted_loss_is_torchs_cross_entropy() -> None:
    torch.manual_seed(1)
    logits, ids = torch.randn(2, 6, 9), torch.randint(0, 9, (2, 6))
    weights = torch.ones(2, 6)
    weights[:, 0] = 0
    ours = mean_per_token(cross_entropy(token_logprobs(logits, ids), weights), weights)
    theirs = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


def test_alpha_rises_with_excess_and_falls_without() -> None:
    assert next_alpha(0.5, 14.0, 14.0) == pytest.approx(0.5)
    assert next_alpha(0.5, 28.0, 14.0) == pytest.approx(0.5 * 2.718281828)
    assert next_alpha(0.5, 7.0, 14.0) < 0.5
    assert next_alpha(3.0, 1000.0, 14.0) == 4.0
    assert next_alpha(0.5, 1000.0, 14.0) == next_alpha(0.5, 28.0, 14.0)
    with pytest.raises(ValueError, match="budget"):
        next_alpha(0.5, 10.0, 0.0)
