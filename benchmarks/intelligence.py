"""How right and how fast intelligence is: against exact answers, `jaxns`, plain moves, and the clock.

    python benchmarks/intelligence.py [--only NAME ...]

exact: estimates and their errors where the answer is known, 20 to 600 bits; z = (estimate - exact) / error.
jaxns: nested sampling, with about as many evaluations, on stochastic policies; skipped without `pip install jaxns`.
speed: time x variance against the same splitting with a dense solve for each proposal, and against Monte Carlo.
many: the tails of 300 utilities at 0.5 bits, and of 83 among stochastic policies, in fresh and in warm processes.
growth: grids of 100 to 2,500 states; some minutes.
device: whether JAX sees a GPU.

Every ratio is of two times from the same run. Nothing is read from a cache, except compiled code where it says "warm".
"""

import argparse
import itertools
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["UTILISCOPE_CACHE"] = "off"

import jax
import numpy as np
import scipy.stats
from intelligence_cases import (
    KEY,
    FreshSolves,
    bandit,
    bits_of,
    contexts,
    corner_grid,
    counted,
    exact_bits,
    load,
    of_normal_features,
    of_policy,
    timed,
)
from many_tails import grid_and_utilities
from threadpoolctl import threadpool_limits

import utiliscope as us
from utiliscope.curves import curve_of_levels
from utiliscope.payoffs import as_payoffs
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.row_splitting import WholeInverses, draw_rows, row_problem
from utiliscope.splitting import split

OTHER_PYTHON = os.path.abspath(shutil.which(os.environ.get("JAXNS_PYTHON", sys.executable)) or sys.executable)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {one.__name__: one for one in (exact, jaxns, speed, many, growth, device)}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), metavar="NAME")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, *arguments = json.loads(options.child)
        print(json.dumps(CHILDREN[name](*arguments)))
        return
    for name in options.only:
        print(f"\n{name} ({load()})")
        parts[name]()


# Against exact answers


def exact():
    with tempfile.TemporaryDirectory() as folder:
        deterministic, stochastic = child("compile", folder)
    print(f"first call, nothing compiled: {deterministic:.1f} s; then a first one with Dirichlet: {stochastic:.1f} s")
    compile_seconds()
    print(f"{'':34}   estimate   error      exact      z  seconds  policies")
    for name, true_bits, run in exact_cases():
        with counted() as policies:
            (estimate, error), seconds = timed(run)
        z = (estimate - true_bits) / error
        row = f"{estimate:10.3f} {error:7.3f} {true_bits:10.3f} {z:6.2f} {seconds:8.2f} {sum(policies):9.2g}"
        print(f"{name:34} {row}", flush=True)


def compile_seconds():
    """Seconds of a first small run with deterministic policies, and then with stochastic ones."""
    world, utility = contexts(3)
    priors = us.UniformDeterministic(), us.Dirichlet(1.0)
    run = lambda prior: us.value_tail(KEY, world, utility, policy_prior=prior, num_particles=8)  # noqa: E731
    return [timed(lambda prior=prior: run(prior))[1] for prior in priors]


def exact_cases():
    """Name, exact bits, and a function that gives an estimate and its error."""
    grid, goal = corner_grid(5, slip=0.1)
    yield "5x5 grid, slip 0.1, best policy", 45.0, lambda: of_policy(grid, us.optimal_policy(grid, goal), goal)
    for number in (200, 600):
        world, utility = contexts(number)
        right = np.tile([1.0, 0.0], (number, 1))
        yield f"{number} contexts, all right", number, lambda w=world, u=utility, r=right: of_policy(w, r, u)
    world, utility = contexts(200)
    right = np.where(np.arange(200)[:, None] < 180, [1.0, 0.0], [0.0, 1.0])
    true_bits = bits_of(scipy.stats.binom(200, 0.5).logsf(179))
    yield "200 contexts, 180 right", true_bits, lambda: of_policy(world, right, utility)
    for arms in (3, 9):
        for share in (0.99, 0.9999):
            world, utility = bandit(arms)
            policy = np.array([[share] + [(1 - share) / (arms - 1)] * (arms - 1)])
            run = lambda w=world, p=policy, u=utility: of_policy(w, p, u, prior=us.Dirichlet(1.0))  # noqa: E731
            yield f"{arms} arms, the first has {share}", -(arms - 1) * math.log2(1 - share), run
    for number in (20, 40):
        world, utility = contexts(number)
        policy = np.tile([1 - 1 / number, 1 / number], (number, 1))
        run = lambda w=world, p=policy, u=utility: of_policy(w, p, u, prior=us.Dirichlet(1.0))  # noqa: E731
        yield f"log2({number}!)", math.lgamma(number + 1) / math.log(2), run
    for distance in (11.484540, scipy.stats.norm.isf(2.0**-294)):
        yield f"normal features, z = {distance:.6f}", bits_of(scipy.stats.norm.logsf(distance)), (
            lambda z=distance: of_normal_features(z)
        )  # fmt: skip


# Beside another program


def jaxns(number=15):
    """Once with its own settings, once with about as many evaluations as ours take (slices 1.3 a dimension)."""
    true_bits = math.lgamma(number + 1) / math.log(2)
    world, utility = contexts(number)
    policy = np.tile([1 - 1 / number, 1 / number], (number, 1))
    rows, first = [], None
    for particles in (1024, 8192):
        with counted() as policies:
            run = lambda n=particles: of_policy(world, policy, utility, n, us.Dirichlet(1.0))  # noqa: E731
            first = first or timed(run)[1]
            policies.clear()
            found, seconds = timed(run)
        rows.append((f"utiliscope, {particles} particles", *found, sum(policies), first, seconds))
    script = Path(__file__).resolve().with_name("intelligence_jaxns.py")
    for slices in (20, 5 * number):
        command = [OTHER_PYTHON, script, number, number - 1, slices]
        # It leaves a log file where it is started.
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1]
            print(f"skipped: {reason}; `pip install jaxns`, or set JAXNS_PYTHON to a Python that has it")
            break
        rows.append((f"jaxns, {slices} slices a sample", *json.loads(done.stdout.splitlines()[-1])))
    print(f"log2({number}!) = {true_bits:.3f} bits; an evaluation is a slice of ours, a sum of theirs")
    print(f"{'':29} {'estimate':>9} {'error':>6} {'z':>6} {'evaluations':>11} {'first run, s':>12} {'second':>7}")
    for name, bits, error, evaluations, first, second in rows:
        z = (bits - true_bits) / error
        print(f"{name:29} {bits:9.3f} {error:6.3f} {z:6.2f} {evaluations:11.3g} {first:12.1f} {second:7.2f}")


# Against plain moves


def speed(repeats=40):
    """One thread each, and seconds of the processor: other programs on the machine count little."""
    world, goal = corner_grid(5, slip=0.1)
    payoffs, prior = as_payoffs(world, goal), us.UniformDeterministic()
    worst, best = value_range(world, payoffs)
    tolerance, problem = tie_tolerance(world, payoffs, worst, best), row_problem(world, payoffs, prior)
    ends = dict(best=best, tolerance=tolerance, reach=1.0, stop_at=np.inf, max_bits=1e4)

    def run(seed, size, make):
        random = np.random.default_rng(seed)
        population = make(random, draw_rows(random, prior, world.available, size))
        curve = curve_of_levels(split(population, random, **ends), tolerance, best, True)
        return -curve["log2_prob"][-1], curve["log2_error"][-1], population.proposed

    # A move of ours values every other action of a state, a plain one draws one.
    kinds = {
        "rank-one changes": (256, 3, lambda random, policy: WholeInverses(random, problem, policy, 1)),
        "fresh solves": (64, 1, lambda random, policy: FreshSolves(random, world, payoffs.state, policy)),
    }
    print(f"{'':17} particles   bits variance reported  seconds  product policies")
    products = []
    for name, (size, each, make) in kinds.items():
        run(0, size, make)
        started = time.process_time()
        with threadpool_limits(1):
            bits, errors, proposed = np.array([run(seed, size, make) for seed in range(repeats)]).T
        seconds, variance = (time.process_time() - started) / repeats, bits.var(ddof=1)
        products.append(seconds * variance)
        shown = f"{bits.mean():6.2f} {variance:8.3f} {np.mean(errors**2):8.3f} {seconds:8.2f} {products[-1]:8.3f}"
        print(f"{name:17} {size:9} {shown} {proposed.mean() * each:8.2g}", flush=True)
        if size == 256:
            # The relative variance of a chance p, estimated from n policies, is about 1 / (p n).
            needed = 2.0**45 / (variance * math.log(2) ** 2)
            times = needed / (proposed.mean() * each)
            print(f"for this error Monte Carlo needs {needed:.2g} policies, {times:.2g} times as many as were valued")
    ratio, spread = products[1] / products[0], 100 * math.sqrt(4 / (repeats - 1))
    print(f"time x variance: a ratio of {ratio:.0f}, give or take {spread:.0f} % ({repeats} runs of each)")


# Many utilities


def many():
    """Seconds by the clock; and of processors, which on an idle machine with 2 would take half as long by the clock."""
    print(f"{'':48} process  seconds of processors most bits most error")
    script = str(Path(__file__).with_name("many_tails.py"))
    for number, prior, particles in ((300, "UniformDeterministic", 360), (83, "Dirichlet", 128)):
        with tempfile.TemporaryDirectory() as folder:
            for process in ("fresh", "warm"):
                started, used = time.perf_counter(), _processors()
                _run([script, str(number), prior, str(particles), f"{folder}/tails.npz"], folder)
                seconds, used = time.perf_counter() - started, _processors() - used
                bits, error = bits_and_error(us.load_value_tail(f"{folder}/tails.npz"), number, prior)
                name = f"{number} utilities, {prior}, {particles} particles"
                shown = f"{process:>7} {seconds:8.1f} {used:13.1f} {bits:9.1f} {error:10.2f}"
                print(f"{name:48} {shown}  {load()}", flush=True)


def bits_and_error(tail, number, prior):
    """The most bits of a best value (the share 0.98 of the way there, among stochastic policies), and most error."""
    world, stack = grid_and_utilities(number)
    policy_prior = getattr(us, prior)()
    best = np.array([value_range(world, stack[index])[1] for index in range(number)])
    values = best
    if not policy_prior.atomic:
        policies = draw_rows(np.random.default_rng(0), policy_prior, world.available, 4096)
        step = 0.9 * np.einsum("nsa,sat->nst", policies, world.transition)
        visits = np.linalg.solve(np.eye(25) - step.transpose(0, 2, 1), np.full((4096, 25, 1), 0.04))
        mean = (stack.state @ visits.mean(0))[:, 0]
        values = mean + 0.98 * (best - mean)
    if np.any(tail.is_lower_bound(values)):
        sys.exit("a tail ended early")
    return float(tail.bits(values).max()), float(tail.std_error(values).max())


# Growth


def growth():
    print("with slip 0.1: exact if all flips count, or only those that change V by more than values tie within")
    print(f"{'states':>7} estimate  error seconds   fact 5 with ties")
    for size in (10, 20):
        bits, error, seconds, *_ = child("grid", None, size, 0.1)
        strict, tied = exact_bits(size, 0.1)
        print(f"{size**2:7} {bits:8.2f} {error:6.2f} {seconds:7.1f} {strict:8.2f} {tied:9.2f}", flush=True)
    print("without slip")
    print(f"{'states':>7} estimate  error relative exact     z seconds of processors    MB")
    grown = []
    for size in (10, 20, 50):
        bits, error, seconds, used, memory = child("grid", None, size, 0.0)
        true_bits = (size - 1) ** 2 + 4 * (size - 1) + 1
        shown = f"{bits:8.2f} {error:6.2f} {error / bits:8.4f} {true_bits:5} {(bits - true_bits) / error:5.2f}"
        print(f"{size**2:7} {shown} {seconds:7.1f} {used:13.1f} {memory:5.0f}  {load()}", flush=True)
        grown.append((size**2, used))
    for (states, before), (more, after) in itertools.pairwise(grown):
        exponent = math.log(after / before) / math.log(more / states)
        print(f"from {states} to {more} states: seconds of processors grow as states^{exponent:.2f}")


def grid_bits(size, slip):
    """Estimate and error; seconds by the clock and of processors; megabytes at most."""
    world, goal = corner_grid(size, slip=slip, sparse=True)
    policy, used = us.optimal_policy(world, goal), time.process_time()
    found, seconds = timed(lambda: us.intelligence(KEY, world, policy, goal, method="split"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found.value, found.std_error, seconds, time.process_time() - used, memory


# Processes and devices


def child(name, folder, *arguments):
    """What a function of `CHILDREN` gives in a process of its own, with the compiled code of `folder` alone."""
    return json.loads(_run([__file__, "--child", json.dumps([name, *arguments])], folder).splitlines()[-1])


def _run(command, folder):
    """What a Python process prints that finds compiled code in `folder` alone."""
    settings = dict(os.environ)
    if folder is not None:
        settings |= dict(NUMBA_CACHE_DIR=f"{folder}/numba", JAX_COMPILATION_CACHE_DIR=f"{folder}/jax")
    done = subprocess.run([sys.executable, *command], env=settings, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else sys.exit(done.stderr)


def _processors():
    """Seconds of processors that finished children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


CHILDREN = {"compile": compile_seconds, "grid": grid_bits}


def device():
    if jax.default_backend() != "gpu":
        print(f"skipped: JAX sees no GPU, only {', '.join(map(str, jax.devices()))}")
        return
    (bits, error), seconds = timed(lambda: of_normal_features(11.484540))
    print(f"{jax.devices()[0]}: normal features, {bits:.3f} bits, error {error:.3f}, exact 100, {seconds:.2f} s")


if __name__ == "__main__":
    main()
