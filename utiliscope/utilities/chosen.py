"""`candidate_set`: candidates of the user's own choice."""

from collections.abc import Mapping

import numpy as np

from utiliscope.errors import InputError, listed
from utiliscope.payoffs import Payoffs, as_payoffs

from .candidates import Candidates, sorted_candidates
from .grammar import Grammar

# Rounding in a sum of masses that is exactly 1.
_KRAFT_TOLERANCE = 1e-9


def candidate_set(world, utilities, code_length=None) -> Candidates:
    """Candidates of your own choice.

    utilities: mapping from name to `[S]` or `[S, A]` payoffs a step, `Payoffs`, a program, or an expression such as
        "reach(G) - 2*time(b)", in which single states (@12) may be named as well.
    code_length: bits of each, in the order of `utilities` or by name; by default the same for all, log2 U.
        The masses 2^-bits must sum to at most 1.
    """
    if not isinstance(utilities, Mapping) or not utilities:
        raise InputError("candidate_set() takes a mapping from name to utility, with at least one utility")
    names = list(utilities)
    unnamed = [name for name in names if not isinstance(name, str) or not name]
    if unnamed:
        raise InputError(f"a candidate is called {unnamed[0]!r}; names are non-empty strings")
    payoffs = [_checked_payoffs(world, name, utility) for name, utility in utilities.items()]
    return sorted_candidates(names, _checked_code_length(code_length, names), payoffs)


def _checked_payoffs(world, name, utility) -> Payoffs:
    try:
        if isinstance(utility, str):
            utility = Grammar(world, states=True).parse(utility)
        payoffs = as_payoffs(world, utility)
    except (TypeError, ValueError) as error:
        raise InputError(f"utility {name!r}: {error}") from None
    num_states, num_actions = world.num_states, world.num_actions
    num_targets = payoffs.targets.shape[0]
    parts = {
        "state": (payoffs.state, (num_states,)),
        "action": (payoffs.action, (num_states, num_actions)),
        "reach": (payoffs.reach, (num_targets,)),
        "targets": (payoffs.targets, (num_targets, num_states)),
        "weight": (payoffs.weight, (len(payoffs.automata),)),
    }
    for place, one in enumerate(payoffs.automata):
        parts[f"automata[{place}].pay"] = one.pay, (one.num_memories, num_states)
    for part, (values, shape) in parts.items():
        if values is None:
            continue
        if values.shape != shape:
            raise InputError(f"utility {name!r}: {part} has shape {values.shape}, not {shape} as in this world")
        finite = np.isfinite(np.asarray(values))
        if not finite.all():
            where = [int(i) for i in np.argwhere(~finite)[0]]
            raise InputError(
                f"utility {name!r} pays {np.asarray(values)[tuple(where)]} at {part} {where}; give numbers"
            )
    return payoffs


def _checked_code_length(code_length, names) -> np.ndarray:
    if code_length is None:
        return np.full(len(names), np.log2(len(names)))
    if isinstance(code_length, Mapping):
        if set(code_length) != set(names):
            odd = sorted(map(str, set(code_length) ^ set(names)))
            raise InputError(f"code_length and the utilities differ in their names: {listed(odd)}")
        code_length = [code_length[name] for name in names]
    try:
        bits = np.array(code_length, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"code_length is not a list of numbers: {error}") from None
    if bits.shape != (len(names),):
        raise InputError(
            f"code_length has shape {bits.shape}; give one number of bits for each of {len(names)} utilities"
        )
    bad = ~(np.isfinite(bits) & (bits >= 0))
    if bad.any():
        place = int(np.argmax(bad))
        raise InputError(f"code_length of {names[place]!r} is {bits[place]}; bits are finite and not negative")
    mass = float(np.sum(2.0**-bits))
    if mass > 1 + _KRAFT_TOLERANCE:
        raise InputError(
            f"the code lengths are too short: their masses 2^-bits sum to {mass:.6g}, more than 1; "
            f"add {np.log2(mass):.4g} bits to each"
        )
    return bits
