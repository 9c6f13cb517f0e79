r"""What each form means: the table of the language, and the automaton of each form with memory.

Of a sequence s_0, s_1, ..., with discount g:

    time(p)             the discounted time in p                 sum_t g^t p(s_t)
    reach(p)            p, the sooner the better                 g^T, T the first time in p (never: 0)
    avoid(p)            not p, or later                          -g^T
    end(p)              p at the end                             g^H p(s_H); without a horizon (1 - g) sum_t g^t p(s_t)
    visits(p, n)        coming to p, up to n times               sum_k g^(T_k), T_k the k-th time of coming to p, k <= n
    every(p, n)         p, and again after n steps               sum_k g^(T_k), T_k the first time in p from T_(k-1) + n
    sequence(p, q, ...) p and later q and later ...              g^T, T the time of the last one
    within(n, form)     the form, as far as the first n steps    the same, of s_0 .. s_n
    does(p, a)          taking the action a in p                 sum_t g^t p(s_t) [a_t = a]

Where the world has a horizon before s_n, s_n is the last state. A form without a horizon ends with chance 1 - g at
every step: so end(p) is the chance of ending in p.
"""

import numpy as np

from utiliscope.automata import Automaton, smallest
from utiliscope.errors import InputError


def compiled(form, states_of, leaves, horizon=None) -> Automaton:
    """The smallest automaton of a form that looks at states only.

    states_of: gives the `[S]` values of a predicate, and is told whether that may be an amount.
    leaves: amounts `[S]` or the automaton of each of a grammar's own forms. horizon: of the world, or None.
    """
    return smallest(*_machine(form, states_of, leaves, horizon))


def _machine(form, states_of, leaves, horizon):
    """`[M, S]` memories left and payments, of sequences that end at the horizon."""
    if form.kind in leaves:
        own = leaves[form.kind]
        return (own.step, own.pay) if isinstance(own, Automaton) else _steady(own)
    if form.kind == "within":
        return _within(form, states_of, leaves, horizon)
    sets = [states_of(predicate, form.kind == "time") for predicate in form.predicates]
    match form.kind:
        case "time":
            return _steady(sets[0])
        case "reach":
            return _sequence(sets)
        case "avoid":
            step, pay = _sequence(sets)
            return step, -pay
        case "visits":
            return _visits(sets[0], form.number)
        case "every":
            return _every(sets[0], form.number)
        case "sequence":
            return _sequence(sets)
    raise InputError(f"{form} depends on more than the states up to a time, and cannot stand within another form")


def _steady(amounts):
    return np.zeros((1, len(amounts)), int), np.asarray(amounts, np.float64)[None]


def _sequence(sets):
    """Memory: how many have been seen in their turn."""
    sets = np.array(sets, bool)
    here = np.arange(len(sets))[:, None]
    last = here == len(sets) - 1
    return np.where(sets, np.where(last, -1, here + 1), here), np.where(sets & last, 1.0, 0.0)


def _visits(inside, number):
    """Memory: twice the number of visits so far, less 1 during one of them."""
    visits = np.arange(2 * number)[:, None]
    during = visits % 2 == 1
    coming, leaving = ~during & inside, during & ~inside
    step = visits + coming + leaving
    return np.where(step >= 2 * number - 1, -1, step), np.where(coming, 1.0, 0.0)


def _every(inside, number):
    """Memory: steps until p counts again."""
    left = np.arange(number)[:, None]
    counts = (left == 0) & inside
    return np.where(counts, number - 1, np.maximum(left - 1, 0)), np.where(counts, 1.0, 0.0)


def _within(form, states_of, leaves, horizon):
    """Memory: that of the form within, for each time."""
    inner, end = form.inner, form.number if horizon is None else min(form.number, horizon)
    steps = end + 1
    if inner.kind == "end":
        inside = np.asarray(states_of(inner.predicates[0], False), bool)
        step = np.repeat(np.append(np.arange(1, steps), -1)[:, None], len(inside), axis=1)
        return step, np.where(np.arange(steps)[:, None] == steps - 1, inside, 0.0) * 1.0
    own, pay = _machine(inner, states_of, leaves, end)
    size = len(own)
    later = np.concatenate([np.where(own < 0, -1, own + (time + 1) * size) for time in range(steps)])
    return np.where(later >= steps * size, -1, later), np.tile(pay, (steps, 1))
