"""The command line: parses, calls, prints. Heavy imports wait inside the commands, so that --help is quick."""

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .choices import named_policies, named_recording, weighing
from .errors import InputError
from .fitting import POSTERIOR, REPORT, fit_into
from .outputs import output_folder
from .suite_commands import suite, tune
from .terminal import print_findings, reporting

app = typer.Typer(
    name="utiliscope",
    help="Infer what recorded behaviour is trying to achieve: a posterior over named utilities.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_DEMO = "courier"


class Reading(StrEnum):
    policy = "policy"
    achieved = "achieved"


Steps = Annotated[Path, typer.Argument(help="Recording: .csv, .csv.gz, .parquet or .jsonl; one row a decision.")]
World = Annotated[Path, typer.Option(help="World file: .json, .json.gz or .npz.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.", show_default=False)]
Discount = Annotated[float | None, typer.Option(help="Per step; overrides the world file.", show_default=False)]
Horizon = Annotated[
    int | None, typer.Option(help="Actions in an episode; overrides the world file.", show_default=False)
]
Layout = Annotated[int | None, typer.Option(help="Which world of a file with several.", show_default=False)]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=VALUE", help="Only rows with this value; can be repeated.", show_default=False),
]
RandomPolicies = Annotated[
    str, typer.Option(metavar="dirichlet[:C]|sequences:H|deterministic", help="What bits are counted against.")
]
ReadingOption = Annotated[
    Reading, typer.Option(help="policy: infer one over states. achieved: what whole episodes were worth.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same numbers.")]
Particles = Annotated[int, typer.Option(help="Random policies in the populations of the value tails.")]


@app.command()
def fit(
    steps: Steps,
    world: World,
    out: Out,
    discount: Discount = None,
    program: Annotated[
        str, typer.Option(metavar="NAME|FILE.py[:FUNCTION]", help="Generative program of the operator.")
    ] = "candidates",
    max_bits: Annotated[
        float | None, typer.Option(help="Longest utility to consider, in bits; 12 if not given.", show_default=False)
    ] = None,
    simplicity: Annotated[
        float | None, typer.Option(help="Weight on code length; 1 if not given.", show_default=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Simplicity, law and random policies that `utiliscope tune` chose.",
            show_default=False,
        ),
    ] = None,
    reading: ReadingOption = Reading.policy,
    seed: Seed = 0,
    beta: Annotated[
        float | None,
        typer.Option(help="Law 2^(beta g), below 1; 0.8 if no law is given.", show_default=False),
    ] = None,
    law: Annotated[
        str | None,
        typer.Option(
            metavar="exponential[:BETA]|bump[:MEAN[:SHAPE]][+random[:SHARE]]",
            help="Intelligence law, instead of --beta; what is not given is inferred.",
            show_default=False,
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of Boltzmann programs; inferred if not given.", show_default=False)
    ] = None,
    noise: Annotated[
        float | None, typer.Option(help="Of the program noisy, in bits; inferred if not given.", show_default=False)
    ] = None,
    operators: Annotated[
        str, typer.Option(help="Column that names the operators of the program population.")
    ] = "subject",
    method: Annotated[str, typer.Option(metavar="auto|nuts|svi|exact", help="How the posterior is found.")] = "auto",
    guide: Annotated[
        str | None,
        typer.Option(
            metavar="low-rank|flow|diagonal", help="Of the method svi; low-rank if not given.", show_default=False
        ),
    ] = None,
    num_steps: Annotated[
        int | None, typer.Option(help="Of the method svi; 5000 if not given.", show_default=False)
    ] = None,
    random_policies: Annotated[
        str | None,
        typer.Option(
            metavar="dirichlet[:C]|sequences:H|deterministic",
            help="What bits are counted against; dirichlet:1 if not given.",
            show_default=False,
        ),
    ] = None,
    states: Annotated[bool, typer.Option("--states", help="Single states as goals too, not only features.")] = False,
    layout: Layout = None,
    where: Where = None,
    horizon: Horizon = None,
    num_warmup: Annotated[int, typer.Option(help="Warm-up draws of a chain.")] = 500,
    num_samples: Annotated[int, typer.Option(help="Draws kept of a chain.")] = 500,
    num_chains: Annotated[int, typer.Option(help="Chains.")] = 4,
    target_accept: Annotated[
        float | None,
        typer.Option(help="Share of proposals that NUTS aims to accept; 0.8 if not given.", show_default=False),
    ] = None,
    num_particles: Annotated[
        int | None, typer.Option(help="Random policies in the populations of the value tails.", show_default=False)
    ] = None,
    tail_bits: Annotated[
        float | None, typer.Option(help="How many bits the value tails go up to; 200 if not given.", show_default=False)
    ] = None,
    prior_predictive: Annotated[
        bool | None,
        typer.Option(
            help="Run the program without the recording too, in as long again; by default for all but `weights`.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Fit a posterior over utilities to a recording; writes posterior.nc, utilities.csv and report.html.

    With several operators (--program population) subjects.csv too, a row for each; where more is inferred, such as a
    temperature, parameters.csv.
    """
    with reporting() as run, output_folder(out) as run.clean_up:
        run.say("starting")
        prior, simplicity, law = weighing(weights, random_policies, simplicity, law, beta)
        behaviour, model = named_recording(run, steps, world, discount, horizon, layout, where)
        fit_into(
            run,
            out,
            behaviour,
            model,
            max_bits=max_bits,
            states=states or None,
            beta=beta,
            law=law,
            temperature=temperature,
            noise=noise,
            operators=operators,
            method=method,
            guide=guide,
            num_steps=num_steps,
            program=program,
            policy_prior=prior,
            reading=reading.value,
            simplicity=simplicity,
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=num_chains,
            target_accept=target_accept,
            num_particles=num_particles,
            tail_bits=tail_bits,
            prior_predictive=prior_predictive,
            seed=seed,
        )


@app.command()
def intelligence(
    steps: Steps,
    world: World,
    utility: Annotated[str, typer.Option(metavar="EXPR", help='Such as "reach(G) - 2*time(b)".', show_default=False)],
    discount: Discount = None,
    reading: ReadingOption = Reading.policy,
    seed: Seed = 0,
    random_policies: RandomPolicies = "dirichlet:1",
    layout: Layout = None,
    where: Where = None,
    horizon: Horizon = None,
    num_particles: Particles = 1024,
) -> None:
    """How intelligent recorded behaviour is for one utility, in bits."""
    with reporting() as run:
        run.say("starting")
        prior = named_policies(random_policies)
        behaviour, model = named_recording(run, steps, world, discount, horizon, layout, where)
        run.say("value tail")
        import jax

        from .cache import described
        from .competence import behaviour_intelligence
        from .settings import check_seed
        from .utilities import Grammar

        check_seed(seed)
        program = Grammar(model, states=True).parse(utility)
        estimate, spread = behaviour_intelligence(
            jax.random.key(seed),
            behaviour,
            model,
            program,
            policy_prior=prior,
            reading=reading.value,
            num_particles=num_particles,
        )
        run.done()
        varied = {
            "policy": f"over operator policies that the recording allows: sd {spread:.2f} bits",
            "achieved": f"over the error of a mean of {behaviour.num_episodes} episodes: sd {spread:.2f} bits",
        }
        print(f"{program}: {estimate}  (± is Monte Carlo error)")
        print(varied[reading.value])
        if estimate.is_lower_bound:
            print("a lower bound: part of it lies beyond the end of the value tail")
        print(f"against random policies from {described(prior)}; {reading.value} reading")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with the posterior.nc of `utiliscope fit`.")],
) -> None:
    """Write report.html anew from posterior.nc."""
    with reporting() as run:
        run.say("drawing the report")
        from .posterior import load_posterior
        from .report import write_report

        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; name the folder that holds posterior.nc")
        write_report(load_posterior(folder / POSTERIOR), folder / REPORT)
        run.done()
        print(f"report: {folder / REPORT}")


@app.command()
def check(
    posterior: Annotated[
        Path, typer.Argument(metavar="POSTERIOR", help="posterior.nc of `utiliscope fit`, or the folder that holds it.")
    ],
) -> None:
    """Whether to believe a posterior, and what to record next: one screen."""
    with reporting() as run:
        run.say("checking")
        from .checks import check_posterior
        from .posterior import load_posterior

        found = check_posterior(load_posterior(posterior / POSTERIOR if posterior.is_dir() else posterior))
        run.done()
        print_findings(found)


@app.command()
def demo(out: Out, seed: Seed = 0) -> None:
    """Fit a recording that comes with utiliscope: what was the courier after?"""
    with reporting() as run, output_folder(out) as run.clean_up:
        from importlib import resources

        data = resources.files("utiliscope.data")
        with contextlib.ExitStack() as stack:
            files = [data / f"{_DEMO}.csv", data / f"{_DEMO}.json"]
            missing = [file.name for file in files if not file.is_file()]
            if missing:
                raise RuntimeError(f"this installation lacks its recordings ({', '.join(missing)}); install it anew")
            steps, world = (stack.enter_context(resources.as_file(file)) for file in files)
            behaviour, model = named_recording(run, steps, world)
            truth = _stated_utility(world)
        fit_into(run, out, behaviour, model, max_bits=12.0, states=None, seed=seed)
        if truth:
            print(f"the courier was in fact after: {truth}")


app.command()(suite)
app.command()(tune)


def main() -> None:
    """Entry point of `utiliscope`."""
    app()


def _stated_utility(world: Path) -> str:
    """The true utility that a bundled world file states, if it does."""
    import json

    entries = json.loads(world.read_text(encoding="utf-8"))
    return str(entries.get("true_utility") or "")


if __name__ == "__main__":
    main()
