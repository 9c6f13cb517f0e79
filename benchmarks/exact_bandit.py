"""A bandit in which programs of operators are exact, in plain NumPy: the laws, and sums over all policies.

One state, three arms, nothing follows. Of Dirichlet(1) rows (1 - x)^2 give an arm more than the share x, so that a
policy has -2 log2(1 - x) bits for the arm. The candidates are "first" and "second", an arm each, and "0".
"""

import itertools

import jax
import numpy as np
from numpyro import distributions as dist
from scipy import stats
from scipy.special import log_softmax, logsumexp, softmax

import utiliscope as us
from utiliscope.sampling import Nuts, Shape
from utiliscope.tails import ValueTail

LN2 = np.log(2.0)
WORLD = us.world_model(np.ones((1, 3, 1)), [1.0], 0.0)
CANDIDATES = us.candidate_set(
    WORLD, {"first": np.eye(3)[:1], "second": np.eye(3)[1:2], "0": np.zeros((1, 3))}, [1.5, 2.5, 2.0]
)
FIRST, SECOND, NOTHING = (CANDIDATES.index(name) for name in ("first", "second", "0"))
LOG_PRIOR = log_softmax(-LN2 * CANDIDATES.code_length)
COUNTS = np.array([[6.0, 1.0, 0.0]])
KNOTS = 1 - 2.0 ** (-np.arange(0, 60, 0.05) / 2)


def exact_tails():
    """Of the candidates, with knots so close that lines between them are as good as the curve."""
    values = np.tile(KNOTS, (3, 1))
    heights = np.tile(2 * np.log2(1 - KNOTS), (3, 1))
    values[NOTHING], heights[NOTHING] = 0.0, 0.0
    return ValueTail(values, heights, np.zeros_like(values), np.full(3, 1e-12), np.arange(3) == NOTHING, atomic=False)


TAILS = exact_tails()
POLICY = dict(world=WORLD, tails=TAILS, policy_prior=us.Dirichlet(1.0), simplicity=1.0)


def sampled(program, *, data, seed=0, shape=Shape(300, 1000, 2), **settings):
    """Draws of a program in the bandit."""
    with jax.enable_x64(True):
        chains = Nuts(program, dict(candidates=CANDIDATES, **settings), shape)
        return chains.run(jax.random.key(seed), data)[0]


def mean_and_error(draws, length=50):
    """Of draws `[chains, draws, ...]`, by the spread of batches of this length."""
    batches = draws.reshape(-1, length, *draws.shape[2:]).mean(1)
    return batches.mean(0), batches.std(0, ddof=1) / np.sqrt(len(batches))


# Laws: ln h(g) / E[h] in nats, as functions of g in bits. Of random policies g is Exponential(ln 2).


def exponential(beta):
    return lambda bits: np.log1p(-beta) + beta * LN2 * bits


def bump(mean, shape):
    density = stats.gamma(shape, scale=mean / shape)
    return lambda bits: density.logpdf(bits) + LN2 * bits - np.log(LN2)


def mixed(law, share):
    return lambda bits: np.logaddexp(np.log(share), np.log1p(-share) + law(bits))


def noisy(law, sigma):
    """Of readings of g with Normal(0, sigma) noise, which is summed out."""
    noise = np.linspace(-8, 8, 321)
    bits = np.arange(0.005, 80, 0.01)
    each = law(bits[:, None] + sigma * noise) - noise**2 / 2
    summed = logsumexp(each, axis=-1)
    log_mean = logsumexp(summed - LN2 * bits) - logsumexp(-LN2 * bits)
    return lambda at: np.interp(at, bits, summed - log_mean)


# Posteriors


def simplex(number=400):
    """Middles of small triangles that tile the simplex: `[N, 3]`."""
    steps = (np.arange(number) + 1 / 3) / number
    low = np.array([(x, y) for x, y in itertools.product(steps, steps) if x + y < 1])
    high = low + 1 / (3 * number)
    both = np.concatenate([low, high[high.sum(1) < 1]])
    return np.column_stack([both, 1 - both.sum(1)])


def of_arms(first, second):
    """`[..., U]` of the candidates, in their order, from what holds for the arms."""
    found = np.zeros((*np.shape(first), 3))
    found[..., FIRST], found[..., SECOND] = first, second
    return found


POLICIES = simplex()
GRID_BITS = -2 * np.log2(1 - of_arms(POLICIES[:, 0], POLICIES[:, 1]))


def log_weight(law, bits):
    """ln h / Z of `bits` `[..., U]`; all policies tie for "0", of which nothing is learnt."""
    with np.errstate(divide="ignore"):
        return np.where(np.arange(3) == NOTHING, 0.0, law(bits))


def log_likelihood(law, counts=COUNTS):
    """`[U]` ln of the counts' probability, but for a constant: the mean over policies of h / Z times their own."""
    return logsumexp(log_weight(law, GRID_BITS) + (counts * np.log(POLICIES)).sum(-1)[:, None], axis=0)


def posterior(law, counts=COUNTS):
    """`[U]` for one operator."""
    return softmax(LOG_PRIOR + log_likelihood(law, counts))


def by_betas(prior: dist.Distribution, number=60):
    """Mean of beta, and the utility's chances `[U]`, for the exponential law with beta on a grid."""
    betas = (np.arange(number) + 0.5) / number
    rows = np.array([LOG_PRIOR + log_likelihood(exponential(beta)) for beta in betas])
    log_joint = logsumexp(rows, axis=1) + np.asarray(prior.log_prob(betas))
    share = softmax(log_joint)
    return share @ betas, share @ softmax(rows, axis=1)


def achieved_log_likelihood(law, value, error):
    """`[U]` ln of the mean of h / Z over random values that look like `value` `[U]`, seen with `error` `[U]`."""
    bits = np.arange(0.0005, 200, 0.001)
    each = np.zeros(3)
    for utility in (FIRST, SECOND):
        if error[utility] == 0:
            each[utility] = law(-2 * np.log2(1 - value[utility]))
            continue
        log_share = -LN2 * bits - ((1 - 2 ** (-bits / 2) - value[utility]) / error[utility]) ** 2 / 2
        each[utility] = logsumexp(log_share + law(bits)) - logsumexp(log_share)
    return each


def by_mixtures(likelihood, step=0.2):
    """Chances `[N, U]` of operators with a mixture in common, and its mean `[U]`, from `[N, U]` log likelihoods.

    By a sum over the spread and the two directions of pulls that matter: what is added to all of them does not.
    """
    side = np.arange(-7, 7 + step / 2, step)
    plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    at = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    total, chances, mixture = 0.0, np.zeros(np.shape(likelihood)), np.zeros(3)
    for spread in np.arange(step / 2, 14, step):  # from HalfNormal(2)
        share = softmax(LOG_PRIOR + spread * at @ plane, axis=-1)
        joint = share[:, None] * np.exp(likelihood - np.max(likelihood, axis=1, keepdims=True))
        evidence = joint.sum(-1)
        weight = np.exp(-(at**2).sum(-1) / 2 - spread**2 / 8) * evidence.prod(-1)
        total += weight.sum()
        chances += np.einsum("m,mnu->nu", weight, joint / evidence[..., None])
        mixture += weight @ share
    return chances / total, mixture / total


# Finitely many policies: three binary choices, in the order 000, 001, ..., 111

CHOICES = np.array(list(itertools.product([0, 1], repeat=3)))
_ONES = CHOICES.sum(1)
_WORTH = {"ones": _ONES, "all ones": _ONES == 3, "0": 0 * _ONES, "first": CHOICES[:, 0]}
CHOOSER = us.world_model(np.ones((1, 8, 1)), [1.0], 0.0)
CHOSEN = us.candidate_set(CHOOSER, {name: worth[None] * 1.0 for name, worth in _WORTH.items()}, [3.0, 4.0, 2.0, 3.0])
CHOICE_VALUES = np.array([_WORTH[name] for name in CHOSEN.names]) * 1.0


def chance_to_reach(values=CHOICE_VALUES):
    """`[U, 8]` share of the choices that are worth as much as each."""
    return (values[:, None] >= values[..., None]).mean(-1)


def choice_tails():
    """Staircases by counting; equal values at the end are padding."""
    order = np.sort(CHOICE_VALUES, axis=1)
    heights = np.log2(chance_to_reach(order))
    return ValueTail(order, heights, np.zeros_like(heights), np.full(4, 1e-9), np.ones(4, bool), atomic=True)


def choice_posterior(choice):
    """`[U]` with h = 2^g, of one that takes these choices."""
    weight = 1 / chance_to_reach()
    share = 2.0**-CHOSEN.code_length * (weight / weight.mean(1, keepdims=True))[:, choice]
    return share / share.sum()
