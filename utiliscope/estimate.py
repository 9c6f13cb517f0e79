"""`Estimate`: a number with its Monte Carlo error."""

from typing import NamedTuple


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
