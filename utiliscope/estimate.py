"""`Estimate`: a number with its Monte Carlo error."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """An estimate in bits.

    value: bits; +inf only where that is the truth.
    std_error: standard error in bits; 0 where the value is exact, inf where `value` is only a bound.
    is_lower_bound: the truth is at least `value` (at 95 % confidence), and how far above is unknown.
    """

    value: float
    std_error: float
    is_lower_bound: bool

    def __str__(self) -> str:
        if self.is_lower_bound:
            return f"at least {self.value:.1f} bits"
        return f"{self.value:.2f} bits" if self.std_error == 0 else f"{self.value:.2f} ± {self.std_error:.2f} bits"
