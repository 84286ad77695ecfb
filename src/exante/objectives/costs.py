"""The loss of a cost model: costlier turns get more, and the sign says unsafe.

Pure functions of tensors. No model, tokenizer, config or I/O enters here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from jaxtyping import Bool, Float
from torch import Tensor

REGULARISATION = 1e-3
"""Weight of the squared cost, as in the published cost models."""


def contrast(
    costlier: Float[Tensor, " pairs"], cheaper: Float[Tensor, " pairs"]
) -> Float[Tensor, " pairs"]:
    """Bradley-Terry on two costs: small where the costlier turn of a pair has the larger one."""
    return -F.logsigmoid(costlier - cheaper)


def anchored(
    costs: Float[Tensor, " turns"], unsafe: Bool[Tensor, " turns"]
) -> Float[Tensor, " turns"]:
    """`-log sigmoid(-s c)` with s = 1 for safe turns, else -1, and `1e-3 c^2`."""
    return -F.logsigmoid(torch.where(unsafe, costs, -costs)) + REGULARISATION * costs**2


def pku_cost(
    costlier: Float[Tensor, " pairs"],
    cheaper: Float[Tensor, " pairs"],
    costlier_unsafe: Bool[Tensor, " pairs"],
    cheaper_unsafe: Bool[Tensor, " pairs"],
) -> Float[Tensor, " pairs"]:
    """The cost loss of Safe RLHF (arXiv 2310.12773, eq. 6): contrast, and the sign of both."""
    signs = anchored(costlier, costlier_unsafe) + anchored(cheaper, cheaper_unsafe)
    return contrast(costlier, cheaper) + signs
