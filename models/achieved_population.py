"""Many operators of whom only whole episodes are looked at: what they achieved, set against random policies.

    mixture = softmax(-simplicity K + spread z),   z_U ~ Normal(0, 1),   spread ~ HalfNormal
    U_n ~ mixture,    P(episodes of n | U_n)  ∝  E_{V ~ xi(. | episodes of n)}[ h(g(V | U_n)) / Z(U_n) ]

The mixture pools as in `population`, and episodes are read as in `achieved`: the true value V of each operator, known
from the mean of its episodes with a standard error, is summed out.

Reference: "Finding Goals in the World Model" (AI Alignment Forum, 2022), footnotes 3 and 7.
"""

import jax
from jax.scipy.special import logsumexp

from utiliscope.achievement import seen
from utiliscope.laws import log_intelligence_weight, sampled_law
from utiliscope.operator_mixture import sampled_mixture, sum_out_utilities


def achieved_population(subject_value, subject_value_error, candidates, subject_tails, *, intelligence_law, simplicity):
    """The achieved reading of `N` operators.

    subject_value, subject_value_error: `[N, U]` mean utility of each one's episodes, and its standard error.
    subject_tails: `[N, U]` value tails, from the starts of each. All else as in `achieved`.
    """
    law, log_mixture = sampled_law(intelligence_law), sampled_mixture(candidates, simplicity)

    def of_one(value, error, tails):
        bits, log_share = seen(tails, value, error)
        weight = jax.vmap(lambda column: log_intelligence_weight(law, tails, column), 1, 1)(bits)
        log_weight = logsumexp(log_share + weight, axis=-1) - logsumexp(log_share, axis=-1)
        return log_weight, (jax.nn.softmax(log_share + weight, axis=-1) * bits).sum(-1)

    log_weight, bits = jax.vmap(of_one)(subject_value, subject_value_error, subject_tails)
    sum_out_utilities(log_mixture + log_weight, bits)
