"""`fit`: run an operator program on recorded behaviour, by NUTS, by variational inference or by exact summation."""

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as dist

from .behaviour import Behaviour, check_fits, read_behaviour
from .cache import described
from .errors import InputError, listed, users_line
from .inputs import Inputs, asked_for, compares_candidates
from .laws import ExponentialLaw, IntelligenceLaw
from .numpyro_modules import bind_numpyro_modules
from .planned_actions import DEFAULT_TEMPERATURE
from .policies import Dirichlet
from .posterior import assemble, drawn_utilities
from .predictive import decision_draws
from .program_sites import check_sites, check_told, look_at
from .programs import load_program
from .sampling import Nuts, Shape
from .settings import check_asked, check_method, check_settings, positive
from .summation import Sums, over_cells, read_off, summed_program
from .utilities import Candidates, FeatureWeights
from .variational import GUIDES, Guides
from .world.possible import World, mean_world

_METHODS = ("auto", "nuts", "svi", "exact")
# Beyond so many numbers NUTS takes hours where a guide takes minutes.
_MOST_FOR_NUTS = 5000
_GUIDE_STEPS, _TAIL_BITS = 5000, 200.0
_FRESH = 128  # draws whose intelligence an atlas is tested by
_DEFAULT_NOISE = dist.HalfNormal(1.0)

bind_numpyro_modules()


def fit(
    behaviour,
    world: World,
    *,
    program: str | Callable = "candidates",
    candidates: Candidates | None = None,
    weights: FeatureWeights | None = None,
    policy_prior=Dirichlet(1.0),
    reading: str = "policy",
    simplicity: float = 1.0,
    intelligence_law: IntelligenceLaw | None = None,
    temperature=None,
    noise=None,
    operators: str = "subject",
    method: str = "auto",
    guide: str | None = None,
    num_steps: int | None = None,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 4,
    target_accept: float | None = None,
    num_particles: int | None = None,
    tail_bits: float | None = None,
    prior_predictive: bool | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
):
    """Posterior over what recorded behaviour is trying to achieve, as an ArviZ DataTree.

    behaviour: what `read_behaviour` returns or takes. world: one, or `PossibleWorlds`, averaged before policies are
    compared ("policy" only; their mean is kept for pictures).
    program: how behaviour comes about: "candidates", "noisy", "population", "weights", "boltzmann",
    "boltzmann_weights", "maxent", "maxent_weights" (see `models/`), a NumPyro function, or "FILE.py:FUNCTION". It is
    called with the inputs that its arguments name.
    candidates: utilities and their code lengths; by default all that `Grammar(world)` has up to 12 bits.
    weights: `FeatureWeights`, the prior of programs with continuous weights; by default of the world's features.
    policy_prior: random policies, both the measure of bits and the prior of the operator's policy.
    reading: "policy" infers a policy over states; "achieved" takes the mean utility of whole episodes from their own
    starts, and lets the operator remember.
    simplicity: weight on code length. intelligence_law: h(g); 2^(0.8 g) by default. Parameters of it that are NumPyro
    distributions are inferred: `ExponentialLaw(dist.Uniform(0, 1))`.
    temperature: of Boltzmann-rational agents, in units of utility: a number or a distribution, by default
    LogNormal(0, 3). noise: of "noisy", in bits: a number or a distribution, by default HalfNormal(1).
    operators: the column that names the operators of "population".
    method: "nuts"; "svi", a variational `guide` ("low-rank", the default, "flow" or "diagonal") after `num_steps` steps
    (5000), with a Pareto k that tells how wrong it is; "exact", for programs without continuous sites. By default
    "exact" where that is so, "svi" beyond 5000 numbers, else "nuts". Discrete sites are summed out in any case.
    target_accept: share of proposals that NUTS aims to accept, 0.8 by default. Above it steps are shorter, which helps
    against divergences; see `models/boltzmann_weights.py` and `benchmarks/weights.py` for where less is better.
    num_particles: random policies in the value tails' populations, 512 by default, and in the splitting runs of the
    atlas, 256 by default. tail_bits: how far the tails go at most (200); beyond it intelligence is a lower bound,
    flagged.
    prior_predictive: whether the program is also run without the recording (as long again), where it reads counts or
    actions. By default it is, but for programs with an atlas; how well that was sampled is in the attributes of the
    group `prior`.
    progress: called with what is being done ("value tails 3/40", "compiling", "sampling", ...).

    The groups are posterior (`utility_log_prob` and `intelligence` over a named utility dimension, `policy`,
    parameters), prior (the same, without the recording), sample_stats, observed_data, log_likelihood of every decision,
    posterior_predictive and prior_predictive (actions at the recorded decisions) and constant_data; see
    `utility_table`, `weight_table` and `parameter_table`. R-hat, ESS, divergences or the Pareto k are in the attributes
    of the posterior, with a ConvergenceWarning where they are poor. The same seed gives the same numbers; the value
    tails do not depend on it, their error is part of the utility table's. Raises InputError for bad input.

    The cost is the value tails, once for each world, prior and set of candidates (kept on disk), and NUTS over the
    policy: a solve of an `[S, S]` system, and one for each set to be reached, at each step.
    """
    say = progress or (lambda phase: None)
    law = ExponentialLaw() if intelligence_law is None else intelligence_law
    shape = Shape(num_warmup, num_samples, num_chains, 0.8 if target_accept is None else target_accept)
    check_settings(world, policy_prior, law, candidates, weights, simplicity, shape, num_steps, seed)
    if method not in _METHODS or guide not in (None, *GUIDES):
        choices = f"{', '.join(_METHODS)} and {', '.join(GUIDES)}"
        raise InputError(f"method is {method!r} and guide is {guide!r}; choose among {choices}")
    function = load_program(program, reading)
    wanted = asked_for(function, reading)
    given = dict(weights=weights, intelligence_law=intelligence_law, temperature=temperature, noise=noise)
    no_tails = not {"tails", "subject_tails"} & set(wanted)
    # Programs that plan have nothing to do with random policies.
    random = {"policy_prior", "tails", "subject_tails", "atlas"} & set(wanted)
    usual = random or reading == "achieved" or described(policy_prior) == described(Dirichlet(1.0))
    alone = operators == "subject" or any(name.startswith("subject_") for name in wanted)
    given |= dict(simplicity=None if simplicity == 1 else simplicity, tail_bits=tail_bits if no_tails else None)
    given |= dict(policy_prior=None if usual else policy_prior, operators=None if alone else operators)
    given |= dict(candidates=None if compares_candidates(wanted) else candidates)
    check_asked(given, wanted, function)
    if not isinstance(behaviour, Behaviour):
        say("reading the recording")
        behaviour = read_behaviour(behaviour, world)
    check_fits(behaviour, world)
    if reading == "policy" and "policy_prior" in wanted and not hasattr(policy_prior, "distribution"):
        raise InputError(
            f"{type(policy_prior).__name__} has no density, and gives any noisy recording likelihood 0: the policy "
            "reading needs Dirichlet(...); finite priors go with reading='achieved'"
        )
    if "intelligence_law" in wanted and not policy_prior.atomic:
        law.log_mean()  # an improper law is refused before the work begins
    tail_bits = _TAIL_BITS if tail_bits is None else tail_bits
    if num_particles is None:
        num_particles = 256 if "atlas" in wanted else 512
    if temperature is None:
        temperature = DEFAULT_TEMPERATURE
    seconds: dict[str, float] = {}
    inputs = Inputs(
        behaviour,
        world,
        reading,
        candidates,
        weights,
        policy_prior,
        law,
        float(simplicity),
        positive("temperature", temperature),
        positive("noise", _DEFAULT_NOISE if noise is None else noise, zero=True),
        operators,
        num_particles,
        tail_bits,
        say,
        seconds,
    )
    with jax.enable_x64(True):
        key = jax.random.key(seed)
        # The atlas grows with the posterior: it is no input that could be made before.
        only = dict(guide=guide, num_steps=num_steps, target_accept=target_accept)
        found = (_by_atlas if "atlas" in wanted else _by_program)(
            key, function, inputs, wanted, shape, method, only, prior_predictive
        )
        say("checking")
        return assemble(
            key,
            inputs=inputs,
            wanted=wanted,
            world=mean_world(inputs.world),
            attributes=dict(
                program=getattr(function, "__name__", str(function)),
                own_program=int(not getattr(function, "__module__", "").startswith("utiliscope.models.")),
                reading=reading,
                simplicity=float(simplicity),
                seed=int(seed),
                **(dict(policy_prior=described(policy_prior)) if random else {}),
                **(dict(num_particles=int(num_particles), tail_bits=float(tail_bits)) if random else {}),
                **{name: _text(getattr(inputs, name)) for name in ("temperature", "noise") if name in wanted},
                **(dict(intelligence_law=described(law)) if "intelligence_law" in wanted else {}),
                **{f"seconds_{name}": round(value, 2) for name, value in seconds.items()},
            ),
            **found,
        )


def _text(parameter) -> str:
    return described(parameter) if isinstance(parameter, dist.Distribution) else f"{parameter:g}"


def _by_program(key, function, inputs, wanted, shape, method, only, prior_predictive) -> dict:
    """Samples, statistics, diagnostics and predictions of a program whose inputs are all known."""
    say, seconds = inputs.say, inputs.seconds
    data = inputs.data(wanted)
    fixed = {name: getattr(inputs, name) for name in wanted if name not in data}
    everything = fixed | data
    continuous, discrete, told, returned = look_at(function, everything)
    check_sites(function, told, returned, discrete, inputs, wanted)
    method = _chosen(method, continuous, discrete, function)
    check_method(method, **only)
    number = len(inputs.candidates) if "candidates" in wanted else 0
    if continuous or not discrete:
        check_told(function, told, wanted, number)
    program = summed_program(function) if discrete else function
    size = dict(num_samples=shape.num_samples, num_chains=shape.num_chains)
    if method == "svi":
        options = dict(guide=only["guide"] or "low-rank", num_steps=only["num_steps"] or _GUIDE_STEPS)
        engine = Guides(program, fixed, **options, **size)
    else:
        engine = Nuts(program, fixed, shape) if method == "nuts" else Sums(function, fixed, discrete, **size)
    samples, stats, found = engine.run(key, data, say)
    if method == "exact" and discrete:
        check_told(function, {name: draws.shape[2:] for name, draws in samples.items()}, wanted, number)
    given, prior = {"posterior": (samples, everything)}, None
    if prior_predictive and not data:
        raise InputError(
            f"the program {_called(function)!r} reads neither counts nor actions: there is nothing to leave out for "
            "prior_predictive, leave it out"
        )
    if prior_predictive is not False and data:
        say("without the recording")
        empty = inputs.data(wanted, empty=True)
        prior = _without(lambda: engine.run(jax.random.fold_in(key, 2), empty), function, prior_predictive)
        if prior is not None:
            given["prior"] = prior[0], fixed | empty
    if method != "exact":
        seconds.update(engine.chains.seconds)
    predicted = {}
    for name, (draws, told_of) in given.items():
        sites = {site: draws[site] for site in continuous}
        if discrete and method != "exact":
            draws |= _summed_draws(key, function, told_of, sites)
        if "utility_log_prob" in draws:
            draws["utility_index"] = drawn_utilities(key, draws)
        if data:
            predicted[name] = decision_draws(jax.random.fold_in(key, 3), function, everything, sites, draws, inputs)
    return dict(samples=samples, stats=stats, found=found | {"method": method}, prior=prior, predicted=predicted)


def _without(run, function, asked):
    """What a run on an empty recording gives; None, with a warning, where the program cannot do without one.

    asked: whether the user did; then InputError.
    """
    try:
        samples, stats, found = run()
        unknown = [name for name, draws in samples.items() if np.isnan(draws).any()]
        reason = f"{listed(unknown)} would not be numbers" if unknown else ""
    except InputError:
        raise
    except Exception as error:  # whatever a user's program does with nothing
        reason = f"{type(error).__name__}{users_line(error)}: {error}"
    if not reason:
        return samples, stats, found
    says = f"the program {_called(function)!r} cannot be run on an empty recording ({reason:.200})"
    if asked:
        raise InputError(f"{says}; leave prior_predictive out, or give it a distribution for no actions")
    warnings.warn(f"{says}, so there is no prior group; prior_predictive=False leaves it out", stacklevel=4)
    return None


def _called(function):
    return getattr(function, "__name__", function)


def _by_atlas(key, function, inputs, wanted, shape, method, only, prior_predictive) -> dict:
    """The same for continuous weights, whose intelligence is read from an atlas of random policies."""
    from .atlas_inference import sample_weights

    if method not in ("auto", "nuts"):
        raise InputError(f"method is {method!r}; a program that asks for an atlas is sampled by NUTS, round by round")
    check_method("nuts", **only)

    def run(key, counts, say):
        samples, stats, found = sample_weights(
            key,
            function,
            counts,
            inputs.world,
            inputs.weights,
            policy_prior=inputs.policy_prior,
            intelligence_law=inputs.intelligence_law,
            simplicity=inputs.simplicity,
            num_warmup=shape.num_warmup,
            num_samples=shape.num_samples,
            num_chains=shape.num_chains,
            target_accept=shape.target_accept,
            num_particles=inputs.num_particles,
            num_fresh=_FRESH,
            progress=say,
        )
        for part, value in found.pop("seconds").items():
            inputs.seconds[part] = round(inputs.seconds.get(part, 0.0) + value, 2)
        found |= dict(pareto_k=found.pop("k_hat"), settled=int(found["settled"]))
        return samples, stats, found | dict(pareto_k_draws=min(_FRESH, shape.num_chains * shape.num_samples))

    samples, stats, found = run(key, inputs.counts, inputs.say)
    found["method"] = "nuts"
    draws, prior = {"posterior": samples}, None
    if prior_predictive:
        inputs.say("without the recording")
        prior = run(jax.random.fold_in(key, 2), 0 * inputs.counts, lambda _: None)
        draws["prior"] = prior[0]
    own_key = jax.random.fold_in(key, 3)
    predicted = {name: decision_draws(own_key, None, {}, {}, some, inputs) for name, some in draws.items()}
    return dict(samples=samples, stats=stats, found=found, prior=prior, predicted=predicted)


def _chosen(method, continuous, discrete, function) -> str:
    """How a program is inferred."""
    name = _called(function)
    if not continuous:
        if method in ("nuts", "svi"):
            raise InputError(f"the program {name!r} has no continuous sites to sample; take method='exact'")
        return "exact"
    if method == "exact":
        raise InputError(
            f"the program {name!r} has continuous sites ({', '.join(continuous)}), which cannot be summed: take "
            "method='nuts' or 'svi'"
        )
    if method != "auto":
        return method
    return "svi" if sum(site.size for site in continuous.values()) > _MOST_FOR_NUTS else "nuts"


def _summed_draws(key, function, inputs, draws):
    """`utility_log_prob` and `intelligence` at draws `[chains, draws, ...]` of the continuous sites."""
    size = next(iter(draws.values())).shape[:2]
    flat = jax.tree.map(lambda x: jnp.asarray(x).reshape(-1, *x.shape[2:]), draws)

    def one(given):
        key, values = given
        return read_off(key, *over_cells(function, inputs, values))

    keys = jax.random.split(jax.random.fold_in(key, 4), size[0] * size[1])
    log_prob, bits = jax.lax.map(one, (keys, flat))
    return {
        "utility_log_prob": np.asarray(log_prob).reshape(*size, -1),
        "intelligence": np.asarray(bits).reshape(*size, -1),
    }
