r"""Means of a law h over random policies whose intelligence g is read with noise: E[h(g + n)], n ~ Normal(0, sigma).

Where no two policies tie, a reading r = g + n has an exponentially modified normal density,

.. math:: p(r) = \ln 2 \, e^{(\sigma \ln 2)^2 / 2 - r \ln 2} \, \Phi(r / \sigma - \sigma \ln 2)

Above the least bits that count, h(r) 2^-r and p(r) 2^r are smooth in ln r, whatever their scales: nodes are laid there.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp

LN2 = math.log(2.0)

# A population of N random policies cannot tell g below about 1 / N from 0, where a density may vanish.
LEAST_BITS = 1e-4

_NEGLIGIBLE = 40.0  # nats: what is left out is e^-40 of a density
_BELOW_NODES, _GAMMA_NODES = 24, 96
_LOWEST = 9.0  # standard deviations of the noise below 0 bits
# For laws of which nothing is known: cells of so many bits, or of a share of the reading, which end at so many bits.
_CELL, _RELATIVE_CELL = 0.1, 0.02
_LINEAR_UNTIL, _FAR_RELATIVE_CELL, _FARTHEST = 400.0, 0.005, 1e6


def log_mean_of_readings(log_weight, sigma, readings, log_cells):
    """ln E[h(g + n)] in nats.

    log_weight: ln h, of bits. sigma: of the noise, in bits. readings, log_cells: `[N]` nodes above LEAST_BITS and ln of
    their shares of the line, as `gamma_nodes` or `far_nodes` give them. Readings below are integrated here.
    """
    sigma = jnp.maximum(sigma, 1e-6)
    nodes, shares = _gauss(_BELOW_NODES, 0.0, _LOWEST)
    little, little_shares = _gauss(4, 0.0, LEAST_BITS)
    readings = jnp.concatenate([-sigma * nodes, little, readings])
    log_cells = jnp.concatenate([jnp.log(sigma) + np.log(shares), np.log(little_shares), log_cells])
    log_density = math.log(LN2) + (LN2 * sigma) ** 2 / 2 - LN2 * readings + log_ndtr(readings / sigma - LN2 * sigma)
    return logsumexp(log_weight(readings) + log_density + log_cells)


def gamma_nodes(mean, shape):
    """Nodes for a law whose intelligence is Gamma distributed, wherever and however narrow: readings and ln cells.

    In u = ln(r / mean) the density falls by shape (e^u - u - 1) nats from its height at the mean. That is c nats or
    more below u = -(c + sqrt(c^2 + 8 c)) / 2 and above ln(1 + c + sqrt(2 c)): there Gauss-Legendre nodes end.
    """
    deep = _NEGLIGIBLE / shape
    middle, least = jnp.log(mean), math.log(LEAST_BITS)
    low = jnp.maximum(middle - (deep + jnp.sqrt(deep * (deep + 8))) / 2, least)
    high = jnp.maximum(middle + jnp.log1p(deep + jnp.sqrt(2 * deep)), least + 1)
    nodes, shares = _gauss(_GAMMA_NODES, 0.0, 1.0)
    log_readings = low + (high - low) * nodes
    return jnp.exp(log_readings), jnp.log((high - low) * shares) + log_readings


def far_nodes():
    """Nodes for any law, up to a million bits: the midpoints of cells, and ln of their widths."""
    near, far = _CELL / _RELATIVE_CELL, _LINEAR_UNTIL
    edges = [
        np.geomspace(LEAST_BITS, near, _cells(math.log(near / LEAST_BITS) / _RELATIVE_CELL)),
        np.linspace(near, far, _cells((far - near) / _CELL)),
        np.geomspace(far, _FARTHEST, _cells(math.log(_FARTHEST / far) / _FAR_RELATIVE_CELL)),
    ]
    edges = np.unique(np.concatenate(edges))
    return (edges[1:] + edges[:-1]) / 2, np.log(np.diff(edges))


def _cells(number):
    return math.ceil(number) + 1


def _gauss(number, low, high):
    """Gauss-Legendre nodes and weights between two ends."""
    nodes, shares = np.polynomial.legendre.leggauss(number)
    return low + (high - low) * (nodes + 1) / 2, shares * (high - low) / 2
