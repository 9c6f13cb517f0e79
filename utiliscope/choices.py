"""Recordings, random policies and intelligence laws as they are named on the command line."""

from .errors import InputError


def named_policies(text: str):
    """dirichlet, dirichlet:C, sequences:H or deterministic as a prior over policies."""
    from .policies import Dirichlet, UniformDeterministic
    from .sequences import ActionSequences

    name, _, number = text.partition(":")
    try:
        if name == "dirichlet":
            return Dirichlet(float(number or 1.0))
        if name == "sequences":
            return ActionSequences(int(number))
        if text == "deterministic":
            return UniformDeterministic()
    except InputError:
        raise
    except ValueError:
        pass
    raise InputError(
        f"--random-policies is {text!r}; choose dirichlet, dirichlet:CONCENTRATION, sequences:HORIZON or deterministic"
    )


def named_law(text: str, *, atomic: bool):
    """exponential[:BETA] or bump[:MEAN[:SHAPE]], each with +random[:SHARE]; numbers that are left out are inferred.

    atomic: whether random policies are finitely many, so that beta may be 1 or more.
    """
    from numpyro import distributions as dist

    from .laws import BumpLaw, ExponentialLaw, RandomMixture

    first, *more = text.split("+")
    name, *numbers = first.split(":")
    try:
        if name == "exponential" and len(numbers) <= 1:
            prior = dist.HalfNormal(2.0) if atomic else dist.Uniform(0.0, 1.0)
            law = ExponentialLaw(_number(numbers[0]) if numbers else prior)
        elif name == "bump" and len(numbers) <= 2:
            mean = _number(numbers[0]) if numbers else dist.LogNormal(2.0, 1.5)
            law = BumpLaw(mean, _number(numbers[1]) if len(numbers) > 1 else dist.LogNormal(1.0, 1.0))
        else:
            raise ValueError
        for part in more:
            name, *numbers = part.split(":")
            if name != "random" or len(numbers) > 1 or len(more) > 1:
                raise ValueError
            law = RandomMixture(law, _number(numbers[0]) if numbers else dist.Beta(1.0, 9.0))
        return law
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"--law is {text!r}; choose exponential, exponential:BETA, bump, bump:MEAN or bump:MEAN:SHAPE, with "
            "+random or +random:SHARE for some who act at random. What is not given is inferred"
        ) from None


def weighing(weights, random_policies, simplicity, law, beta):
    """Random policies, simplicity and law (text or None) of the options, or of a file of weights.

    Random policies that are named win over the file's, as what was tuned on one class of them is used on another; the
    law and simplicity must come from one place.
    """
    if weights is None:
        return named_policies(random_policies or "dirichlet:1"), 1.0 if simplicity is None else simplicity, law
    from .tuning.weights_file import read_weights

    given = {"--simplicity": simplicity, "--law": law, "--beta": beta}
    twice = [name for name, value in given.items() if value is not None]
    if twice:
        raise InputError(f"--weights says what {twice[0]} says, too; give one of them")
    found = read_weights(weights)
    return named_policies(random_policies or found.random_policies), found.simplicity, found.law


def named_recording(run, steps, world, discount=None, horizon=None, layout=None, where=None):
    """The recording and its world, from files."""
    conditions = _conditions(where or [])
    run.say("reading the world and the recording")
    import dataclasses

    import numpy as np

    from .behaviour import Behaviour, read_behaviour
    from .recordings import recorded_rows
    from .world import read_world

    if horizon is not None and horizon < 1:
        raise InputError(f"--horizon is {horizon}; it must be a whole number of actions, at least 1")
    # A discount of 1 is for worlds with a horizon, which the file need not have.
    endless = discount == 1 and horizon is not None
    model = read_world(world, discount=None if endless else discount, layout=layout)
    if horizon is not None:
        model = dataclasses.replace(model, horizon=horizon)
    if endless:
        model = dataclasses.replace(model, discount=np.array(1.0))
    if not conditions:
        return read_behaviour(steps, model), model
    # Other rows may belong to other worlds: they go before the moves are checked.
    table, name = recorded_rows(steps)
    try:
        table = Behaviour(table, model.num_states, model.num_actions).where(**conditions).table
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    try:
        return read_behaviour(table, model), model
    except InputError as error:
        chosen = " and ".join(f"{column}={value}" for column, value in conditions.items())
        message = str(error).removeprefix("the DataFrame: ")
        raise InputError(f"{name}, rows with {chosen} (numbered among themselves): {message}") from None


def _conditions(where) -> dict[str, str]:
    conditions = {}
    for condition in where:
        column, equals, value = condition.partition("=")
        if not (column and equals):
            raise InputError(f"--where {condition!r} is not COLUMN=VALUE; write for example --where subject=B1")
        if column in conditions:
            raise InputError(f"--where names the column {column!r} twice, and a row has one value in it; give one")
        conditions[column] = value
    return conditions


def _number(text) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number
