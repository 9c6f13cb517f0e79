"""Dirichlet rows over available actions, as a NumPyro distribution: the space of policies that NUTS walks in."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from numpyro import distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform, biject_to


def dirichlet_rows(key, concentration, available, sample_shape=()):
    """`[*sample_shape, S, A]` Dirichlet rows over `available` `[S, A]` actions."""
    # Logs of Gamma draws: rows of small concentration underflow otherwise.
    shape = (*sample_shape, *available.shape)
    if isinstance(concentration, float) and concentration == 1:
        logs = jnp.log(jax.random.exponential(key, shape))
    else:
        logs = jax.random.loggamma(key, concentration, shape)
    return jax.nn.softmax(jnp.where(available, logs, -jnp.inf), axis=-1)


class RowDirichlet(dist.Distribution):
    """Policies `[S, A]` with independent Dirichlet(concentration) rows over each state's available actions.

    concentration: a number, or `[S, A]`.

    The density is with respect to all but the last available action of each row; unavailable actions are 0.
    """

    arg_constraints = {"concentration": constraints.positive}  # noqa: RUF012 (NumPyro's own form)
    pytree_data_fields = ("concentration",)
    pytree_aux_fields = ("available",)

    def __init__(self, concentration, available, *, validate_args=None):
        self.concentration = jnp.asarray(concentration, float)
        self.available = tuple(map(tuple, np.asarray(available).tolist()))
        shape = (len(self.available), len(self.available[0]))
        super().__init__(batch_shape=(), event_shape=shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=2)
    def support(self):
        return _PolicyRows(self.available)

    def sample(self, key, sample_shape=()):
        return dirichlet_rows(key, self.concentration, np.array(self.available), sample_shape)

    def log_prob(self, value):
        available = np.array(self.available)
        shape = jnp.broadcast_to(self.concentration, available.shape)
        constant = (
            gammaln(jnp.where(available, shape, 0.0).sum(-1)).sum() - jnp.where(available, gammaln(shape), 0.0).sum()
        )
        # xlogy(0, .) = 0: at concentration 1 the density is flat, up to and with the faces of the simplex.
        kernel = jax.scipy.special.xlogy(self.concentration - 1, jnp.where(available, value, 1.0))
        return constant + kernel.sum((-2, -1))


class _PolicyRows(constraints.Constraint):
    """Rows on the simplex of available actions, zero elsewhere."""

    event_dim = 2

    def __init__(self, available):
        self.available = available

    def __call__(self, x):
        available = np.array(self.available)
        inside = jnp.all(jnp.where(available, x >= 0, x == 0), axis=(-2, -1))
        return inside & jnp.all(jnp.abs(x.sum(-1) - 1) < 1e-6, axis=-1)

    def feasible_like(self, prototype):
        available = np.array(self.available)
        return jnp.broadcast_to(available / available.sum(-1, keepdims=True), prototype.shape)

    def tree_flatten(self):
        return (), ((), {"available": self.available})

    def eq(self, other, static=False):
        return isinstance(other, _PolicyRows) and self.available == other.available


class _StickBreakingRows(Transform):
    """Unconstrained `[D]` to policies `[S, A]`, with D the number of available actions less the number of states.

    Stick breaking over the available actions of each row in turn, shifted so that zeros give even rows.
    """

    domain = constraints.real_vector

    def __init__(self, available):
        self.available = available
        mask = np.array(available)
        number = mask.sum(-1)
        self._ranked = np.argsort(~mask, axis=-1, kind="stable")
        rank = np.arange(mask.shape[1])
        self._free = rank < number[:, None] - 1
        self._last = rank == number[:, None] - 1
        self._shift = np.log(np.maximum(number[:, None] - 1 - rank, 1))
        self._where = np.nonzero(self._free)

    @property
    def codomain(self):
        return _PolicyRows(self.available)

    def __call__(self, x):
        log_taken, log_left = self._log_fractions(x)
        before = jnp.cumsum(log_left, axis=-1) - log_left
        shares = jnp.where(self._free | self._last, jnp.exp(log_taken + before), 0.0)
        rows = np.arange(shares.shape[-2])[:, None]
        return jnp.zeros_like(shares).at[..., rows, self._ranked].set(shares)

    def _inverse(self, y):
        rows = np.arange(y.shape[-2])[:, None]
        shares = y[..., rows, self._ranked]
        left = jnp.flip(jnp.cumsum(jnp.flip(shares, -1), axis=-1), -1) - shares
        tiny = jnp.finfo(y.dtype).tiny
        odds = jnp.log(jnp.maximum(shares, tiny)) - jnp.log(jnp.maximum(left, tiny)) + self._shift
        return odds[(..., *self._where)]

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        log_taken, log_left = self._log_fractions(x)
        before = jnp.cumsum(log_left, axis=-1) - log_left
        # d share_j / d x_j = (what is left) z_j (1 - z_j); the matrix is triangular.
        return jnp.sum(jnp.where(self._free, log_taken + log_left + before, 0.0), axis=(-2, -1))

    def _log_fractions(self, x):
        """ln z and ln(1 - z) of each stick's fraction, `[..., S, A]` by rank; 0 where nothing is free."""
        odds = jnp.zeros((*x.shape[:-1], *self._free.shape), x.dtype).at[(..., *self._where)].set(x) - self._shift
        return (
            jnp.where(self._free, jax.nn.log_sigmoid(odds), 0.0),
            jnp.where(self._free, jax.nn.log_sigmoid(-odds), 0.0),
        )

    def forward_shape(self, shape):
        return (*shape[:-1], *self._free.shape)

    def inverse_shape(self, shape):
        return (*shape[:-2], int(self._free.sum()))

    def tree_flatten(self):
        return (), ((), {"available": self.available})

    @classmethod
    def tree_unflatten(cls, aux_data, params):
        return cls(aux_data[1]["available"])

    def eq(self, other, static=False):
        return isinstance(other, _StickBreakingRows) and self.available == other.available


@biject_to.register(_PolicyRows)
def _policy_rows_transform(constraint):
    return _StickBreakingRows(constraint.available)
