"""Value tails of many utilities on several devices: the same numbers as one at a time."""

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


class Own(us.UniformDeterministic):
    "Ours by another name, so that it is moved in JAX."


world = us.gridworld(["..", ".G"], slip=0.1, discount=0.8)
payoffs = us.Payoffs(np.eye(4)[:3], None, np.array([[0.0], [0.0], [2.0]]), np.eye(4, dtype=bool)[:1])
tail = us.value_tail(jax.random.key(0), world, payoffs, policy_prior=Own(), num_particles=32)
np.savez(sys.argv[1], devices=len(jax.devices()), values=tail.values, log2_prob=tail.log2_prob)
"""


def run(path, number):
    flags = f"--xla_force_host_platform_device_count={number}"
    environment = dict(os.environ, XLA_FLAGS=flags, JAX_PLATFORMS="cpu", UTILISCOPE_CACHE="off")
    done = subprocess.run([sys.executable, "-c", SCRIPT, path], env=environment, capture_output=True, text=True)
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
