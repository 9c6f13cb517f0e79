"""Value tails of many utilities, and the bits of many recordings, on several devices: the same as on one."""

import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import sys

import jax
import numpy as np

import utiliscope as us
from utiliscope.marginal import LawTables
from utiliscope.posterior_bits import gauge
from utiliscope.posteriors_together import posterior_bits_together


class Own(us.UniformDeterministic):
    "Ours by another name, so that it is moved in JAX."


world = us.gridworld(["..", ".G"], slip=0.1, discount=0.8)
payoffs = us.Payoffs(np.eye(4)[:3], None, np.array([[0.0], [0.0], [2.0]]), np.eye(4, dtype=bool)[:1])
tail = us.value_tail(jax.random.key(0), world, payoffs, policy_prior=Own(), num_particles=32)
tables = LawTables([us.ExponentialLaw(0.8)])
measure = gauge(jax.random.key(0), world, payoffs, num_particles=32)
options = dict(tables=tables, num_particles=32, num_lanes=int(sys.argv[2]))
keys, counts = jax.random.split(jax.random.key(1), 2), [np.ones((4, 4)), 9.0 * np.eye(4)]
bits = [one.bits for some in posterior_bits_together(keys, counts, measure, **options) for one in some]
found = dict(values=tail.values, log2_prob=tail.log2_prob, bits=np.concatenate(bits))
np.savez(sys.argv[1], devices=len(jax.devices()), **found)
"""


def run(path, number):
    flags = f"--xla_force_host_platform_device_count={number}"
    environment = dict(os.environ, XLA_FLAGS=flags, JAX_PLATFORMS="cpu", UTILISCOPE_CACHE="off")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, path, str(4 // number)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with np.load(path) as file:
        return dict(file)


@pytest.mark.slow
def test_devices_share_the_utilities(tmp_path):
    alone, shared = run(tmp_path / "one.npz", 1), run(tmp_path / "two.npz", 2)
    assert alone["devices"] == 1 and shared["devices"] == 2
    # Three utilities on two devices; two of them with a chain more than the other.
    np.testing.assert_allclose(shared["log2_prob"], alone["log2_prob"], atol=1e-9)
    np.testing.assert_allclose(shared["values"], alone["values"], atol=1e-9)
    # Two recordings of three utilities, in four lanes on one device and in twice two.
    np.testing.assert_allclose(shared["bits"], alone["bits"], atol=1e-9)
