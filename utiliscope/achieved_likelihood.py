"""What the achieved reading says of utilities, as a function of them."""

from collections.abc import Callable

import jax
import numpy as np
from jax.scipy.special import logsumexp

from .achievement import achieved_values, started_world
from .behaviour import Behaviour, check_fits, read_behaviour
from .laws import ExponentialLaw, IntelligenceLaw, check_law
from .payoffs import Payoffs
from .policies import check_prior
from .programs import load_program
from .sequences import comparison_world
from .sparse_payoffs import sparse_payoffs
from .summation import over_cells
from .tails import value_tail
from .utilities import Candidates
from .world.model import check_world


def achieved_log_likelihood(
    behaviour,
    world,
    *,
    policy_prior,
    intelligence_law: IntelligenceLaw | None = None,
    num_particles: int = 512,
    tail_bits: float = 200.0,
) -> Callable[[Payoffs], np.ndarray]:
    """The log likelihood of utilities in the achieved reading of behaviour, for `sample_programs`:

        likelihood = achieved_log_likelihood(behaviour, world, policy_prior=ActionSequences(60))
        found = sample_programs(key, Grammar(world), likelihood)

    The function that is returned takes a stack of `U` payoffs and gives `[U]` nats, up to what is the same for all
    utilities: ln E[h(g) / Z(U)] over what random policies achieve, seen through the error of what the episodes did.
    With the prior 2^-K it gives the posterior of `fit(behaviour, world, reading="achieved")`, but for errors of tails.

    behaviour: what `read_behaviour` returns or takes. policy_prior: random policies. intelligence_law: h(g);
    2^(0.8 g) by default. num_particles, tail_bits: of value tails, as in `fit`.

    Cost: a value tail for each new utility, which is kept on disk: about a second where priors are moved in JAX, and
    several where it is compiled for a new shape. So `enumerate` is quicker as long as it will do. Raises InputError as
    `fit` does.
    """
    check_world(world)
    check_prior(policy_prior)
    law = ExponentialLaw() if intelligence_law is None else intelligence_law
    check_law(law)
    behaviour = behaviour if isinstance(behaviour, Behaviour) else read_behaviour(behaviour, world)
    check_fits(behaviour, world)
    compared = comparison_world(started_world(behaviour, world), policy_prior)
    if not policy_prior.atomic:
        law.log_mean()  # an improper law is refused before the work begins
    program = load_program("candidates", "achieved")

    def of_one(payoffs):
        tails = value_tail(
            jax.random.key(0), compared, payoffs, policy_prior=policy_prior, num_particles=num_particles,
            max_bits=tail_bits,
        )  # fmt: skip
        with jax.enable_x64(True):
            value, error = achieved_values(behaviour, compared, payoffs)
            one = Candidates([""], np.zeros(1), payoffs)
            inputs = dict(value=value, value_error=error, candidates=one, tails=tails)
            log_joint, _, _ = over_cells(program, inputs | dict(intelligence_law=law, simplicity=0.0))
            return float(logsumexp(log_joint))

    def log_likelihood(payoffs: Payoffs) -> np.ndarray:
        # One by one, with what each needs: their number would be another shape to compile each time.
        stack = sparse_payoffs(payoffs)
        return np.array([of_one(stack[[i]].dense()) for i in range(payoffs.num_utilities)])

    return log_likelihood
