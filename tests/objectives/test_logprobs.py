"""Log-probs from states, tile by tile, against a plain softmax; and the losses on them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from exante.objectives import logprobs
from exante.objectives.control import next_alpha
from exante.objectives.logprobs import (
    front_sums,
    linear_logprobs,
    response_sums,
    target_logprobs,
)
from exante.objectives.tokens import cross_entropy


def problem(tokens: int, vocabulary: int, width: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dice = torch.Generator().manual_seed(tokens * 1000 + vocabulary)
    states = torch.randn(tokens, width, generator=dice, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=dice, requires_grad=True)
    bias = torch.randn(vocabulary, generator=dice, requires_grad=True)
    return states, weight, bias, torch.randint(vocabulary, (tokens,), generator=dice)


@settings(deadline=None)
@given(
    tokens=st.integers(1, 300),
    vocabulary=st.integers(2, 400),
    biased=st.booleans(),
    kept=st.sampled_from([0, 1 << 30]),
    tile=st.sampled_from([64, 5000, 1 << 22]),
    chunk=st.sampled_from([64, 4096]),
)
def test_tiles_change_neither_values_nor_gradients(
    tokens: int, vocabulary: int, biased: bool, kept: int, tile: int, chunk: int
) -> None:
    states, weight, bias, targets = problem(tokens, vocabulary)
    given_bias = bias if biased else None
    inputs = (states, weight, bias) if biased else (states, weight)
    slope = torch.linspace(-1, 1, tokens)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logprobs, "_TILE", tile)
        patch.setattr(logprobs, "_CHUNK", chunk)
        ours = linear_logprobs(states, weight, targets, bias=given_bias, kept_bytes=kept)
        found = torch.autograd.grad((ours * slope).sum(), inputs)
    plain = target_logprobs(torch.nn.functional.linear(states, weight, given_bias), targets)
    expected = torch.autograd.grad((plain * slope).sum(), inputs)
    assert torch.allclose(ours, plain, atol=1e-4, rtol=1e-5)
    for mine, theirs in zip(found, expected, strict=True):
        assert float((mine - theirs).norm()) <= 1e-5 * float(theirs.norm()) + 1e-6


def test_the_gradient_is_that_of_finite_differences() -> None:
    states, weight, bias, targets = (
        t.detach().double().requires_grad_() if t.is_floating_point() else t
        for t in problem(5, 7, 4)
    )

    def whole(h: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return linear_logprobs(h, w, targets, bias=b).double().sum()

    step = 1e-3
    value = whole(states, weight, bias)
    gradients = torch.autograd.grad(value, (states, weight, bias))
    for number, gradient in enumerate(gradients):
        tensors = [states.detach().clone(), weight.detach().clone(), bias.detach().clone()]
        flat = tensors[number].view(-1)
        for place in range(len(flat)):
            flat[place] += step
            up = whole(*tensors)
            flat[place] -= 2 * step
            down = whole(*tensors)
            flat[place] += step
            slope = float(up - down) / (2 * step)
            assert float(gradient.flatten()[place]) == pytest.approx(slope, abs=2e-2)


def test_a_frozen_head_gets_no_gradient() -> None:
    states, weight, _, targets = problem(9, 30)
    frozen = weight.detach()
    linear_logprobs(states, frozen, targets).sum().backward()
    assert states.grad is not None
    assert frozen.grad is None


def test_low_precision_products_are_normalised_in_float32() -> None:
    states, weight, _, targets = problem(40, 50)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_logprobs(states, weight, targets)
        logits = torch.nn.functional.linear(states, weight)
    assert found.dtype == torch.float32
    assert torch.allclose(found, target_logprobs(logits.float(), targets), atol=1e-5)
    found.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_each_response_is_the_sum_of_its_tokens() -> None:
    values = torch.tensor([-1.0, -2.0, -4.0, -8.0])
    owners = torch.tensor([0, 2, 0, 2])
    assert response_sums(values, owners, 3).tolist() == [-5.0, 0.0, -10.0]


def test_fronts_are_sums_of_first_tokens_and_no_others() -> None:
    values = torch.tensor([-1.0, -2.0, -4.0, -8.0, -16.0])
    owners = torch.tensor([0, 0, 0, 2, 2])
    wanted, tokens = torch.tensor([0, 2, 0, 1]), torch.tensor([2, 1, 9, 3])
    assert front_sums(values, owners, wanted, tokens).tolist() == [-3.0, -8.0, -7.0, 0.0]


def test_weights_leave_tokens_out() -> None:
    losses = cross_entropy(torch.tensor([-1.0, -3.0, -5.0]), torch.tensor([1.0, 0.0, 2.0]))
    assert losses.tolist() == [1.0, 0.0, 10.0]


def test_alpha_rises_with_excess_and_falls_without() -> None:
    assert next_alpha(0.5, 14.0, 14.0) == pytest.approx(0.5)
    assert next_alpha(0.5, 28.0, 14.0) == pytest.approx(0.5 * 2.718281828)
    assert next_alpha(0.5, 7.0, 14.0) < 0.5
    assert next_alpha(3.0, 1000.0, 14.0) == 4.0
    assert next_alpha(0.5, 1000.0, 14.0) == next_alpha(0.5, 28.0, 14.0)
    with pytest.raises(ValueError, match="budget"):
        next_alpha(0.5, 10.0, 0.0)
