"""A session of JAX in its usual single precision: the same numbers, in whatever order things are called."""

import subprocess
import sys

import pytest

_SESSION = """
import sys
import jax, numpy as np, pandas as pd, warnings
import utiliscope as us

warnings.simplefilter("ignore", us.ConvergenceWarning)
jax.config.update("jax_enable_x64", sys.argv[1] == "x64")
horizon = None if sys.argv[2] == "endless" else 4
world = us.world_model(np.eye(3)[np.array([[1, 2], [2, 0], [0, 1]])], [1, 0, 0], 0.9, horizon=horizon,
                       features={"a": np.array([0, 0, 1]) == 1, "f": np.array([0.5, 0.25, 1])})
candidates = us.candidate_set(world, {"a": "reach(a)", "f": "time(f)"})
steps = us.read_behaviour(pd.DataFrame(dict(episode=0, t=range(3), state=[0, 2, 1], action=[1, 1, 0])), world)
policy, key = np.full((3, 2), 0.5), jax.random.key(0)
utility = np.array([0, 1.0, 3.0])
best = np.eye(2)[[1, 0, 0]]

def value():
    return float(us.expected_utility(world, policy, utility))

def fitted():
    settings = dict(num_warmup=20, num_samples=20, num_chains=1, num_particles=16, tail_bits=3)
    return us.utility_table(us.fit(steps, world, candidates=candidates, **settings)).probability.tolist()

def bits():
    tail = us.value_tail(key, world, utility, num_particles=64)
    return float(tail.bits(us.expected_utility(world, best, utility)))

def intelligence():
    return us.intelligence(key, world, best, utility).value

calls = [value, fitted, intelligence, value, bits, fitted, value, lambda: float(jax.jit(lambda p: us.expected_utility(
    world, p, utility))(policy)), intelligence, bits]
if sys.argv[4] == "tails":
    calls = [call for call in calls if call is not fitted]
for call in calls if sys.argv[3] == "forwards" else calls[::-1]:
    print(call())
"""


def _numbers(*arguments):
    run = subprocess.run([sys.executable, "-W", "error", "-c", _SESSION, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return [float(word) for word in run.stdout.replace("[", " ").replace("]", " ").replace(",", " ").split()]


# A fit compiles NUTS in both sessions.
@pytest.mark.parametrize(
    ("end", "order", "calls"),
    [
        pytest.param("endless", "backwards", "tails", marks=pytest.mark.slow),
        *(
            pytest.param(end, order, "all", marks=pytest.mark.slow)
            for end in ("endless", "horizon")
            for order in ("backwards", "forwards")
        ),
    ],
)
def test_single_precision_gives_the_same_numbers_in_any_order(end, order, calls):
    double = _numbers("x64", end, "forwards", calls)
    assert sorted(_numbers("x32", end, order, calls)) == pytest.approx(sorted(double), rel=1e-5)
