"""`Estimate`: a number with its Monte Carlo error; errors of shares."""

from typing import NamedTuple

import numpy as np


class _Estimate(NamedTuple):
    value: float
    std_error: float
    is_lower_bound: bool


class Estimate(_Estimate):
    """An estimate in bits: a tuple of value, std_error and is_lower_bound.

    value: bits; +inf only where that is the truth.
    std_error: standard error in bits; 0 where the value is exact, inf where `value` is only a bound.
    is_lower_bound: the truth is at least `value` (at 95 % confidence), and how far above is unknown.
    method: how it was found: "enumerate", "monte_carlo", "split", or "" where there was nothing to find.
    """

    method: str

    def __new__(cls, value: float, std_error: float, is_lower_bound: bool, method: str = ""):
        estimate = super().__new__(cls, value, std_error, is_lower_bound)
        estimate.method = method
        return estimate

    def __str__(self) -> str:
        if self.is_lower_bound:
            return f"at least {self.value:.1f} bits"
        return f"{self.value:.2f} bits" if self.std_error == 0 else f"{self.value:.2f} ± {self.std_error:.2f} bits"


def share_error(share, std_error):
    """`[..., U]` standard errors of shares that sum to 1, whose logarithms are known up to independent errors.

    share, std_error: `[..., U]`, the errors in nats before shares are made to sum to 1. To first order:
    share_u sqrt((1 - 2 share_u) e_u^2 + sum_v share_v^2 e_v^2).
    """
    share, variance = np.asarray(share), np.square(std_error)
    common = (share**2 * variance).sum(-1, keepdims=True)
    return share * np.sqrt(np.maximum((1 - 2 * share) * variance + common, 0.0))
