"""The commands `suite` and `tune`: agents whose utility is known, recorded, read by every method, and tuned on."""

import contextlib
import inspect
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from .errors import InputError, check_whole, listed
from .outputs import output_folder
from .terminal import reporting

_ALL = "all"
_TUNED = ("weights.toml", "families.csv", "surface.png")

Out = Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.", show_default=False)]
Agents = Annotated[str, typer.Option(help="Names of agents, or of families, by commas.")]
AgentsFile = Annotated[
    str | None,
    typer.Option(metavar="FILE.py[:NAME]", help="Agents of your own: a dict from names to agents.", show_default=False),
]
Worlds = Annotated[str, typer.Option(help="Names of worlds, by commas.")]
Methods = Annotated[str, typer.Option(help="Names of methods, by commas.")]
Goals = Annotated[
    int | None,
    typer.Option(help="So many true utilities for an agent in a world, in turn; all if not given.", show_default=False),
]
Episodes = Annotated[str, typer.Option(help="Lengths of recordings in episodes, by commas.")]
Seeds = Annotated[int, typer.Option(help="Recordings of each kind.")]
ExecutorName = Annotated[str, typer.Option("--executor", metavar="serial|process|dask", help="Where jobs run.")]
Workers = Annotated[int | None, typer.Option(help="Processes; one for each core if not given.", show_default=False)]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS|FILE", help="Of dask; a cluster on this machine if not given.", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")]
Particles = Annotated[int, typer.Option(help="Random policies in splitting from each recording's posterior.")]
TailParticles = Annotated[int, typer.Option(help="The same in the worlds' value tails, kept on disk.")]
Concentrations = Annotated[str, typer.Option(help="Of Dirichlet random policies, by commas; claims are made for each.")]
TriedConcentrations = Annotated[
    str,
    typer.Option(help="Of Dirichlet random policies, by commas; tuning chooses among them, too."),
]


def suite(
    out: Out,
    agents: Agents = _ALL,
    worlds: Worlds = _ALL,
    methods: Methods = "intelligence,boltzmann,maxent,prior",
    goals: Goals = None,
    episodes: Episodes = "3,30",
    seeds: Seeds = 1,
    agents_file: AgentsFile = None,
    executor: ExecutorName = "process",
    workers: Workers = None,
    scheduler: Scheduler = None,
    batch: Annotated[int, typer.Option(help="Jobs of one world and method that run together.")] = 16,
    num_particles: Particles = 128,
    tail_particles: TailParticles = 512,
    concentrations: Concentrations = "1",
    resume: Resume = False,
) -> None:
    """Record agents whose utility is known, and score every method's posterior over utilities against it.

    Writes a file for each job, results.parquet and report.html. Interrupted, it goes on with --resume.
    """
    with reporting() as run, output_folder(out) as run.clean_up:
        _share_devices()
        run.say("planning")
        from .suite.methods import METHODS

        chosen = _able(_chosen(methods, METHODS, "method"))
        jobs, settings = _planned(
            agents, worlds, chosen, goals, episodes, seeds, agents_file, num_particles, tail_particles, concentrations
        )
        code = _execute(run, out, jobs, settings, executor, workers, scheduler, batch, resume)
        run.say("drawing the report")
        from .suite.report import write_suite_report
        from .suite.results import write_table

        table, page = write_table(out), write_suite_report(out)
        run.done()
        print(f"table: {table}\nreport: {page}")
        if code:
            raise typer.Exit(code)


def tune(
    out: Out,
    results: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of `utiliscope suite`, instead of a run.", show_default=False),
    ] = None,
    agents: Agents = _ALL,
    worlds: Worlds = _ALL,
    goals: Goals = 1,
    episodes: Episodes = "3,30",
    seeds: Seeds = 1,
    agents_file: AgentsFile = None,
    nulls: Annotated[bool, typer.Option(help="Tune on what is after nothing, too: its utility is 0.")] = True,
    executor: ExecutorName = "process",
    workers: Workers = None,
    scheduler: Scheduler = None,
    batch: Annotated[int, typer.Option(help="Jobs of one world that run together.")] = 16,
    num_particles: Particles = 128,
    tail_particles: TailParticles = 512,
    concentrations: TriedConcentrations = "1,0.5,2",
    resume: Resume = False,
) -> None:
    """Choose the weights of simplicity and intelligence on agents whose utility is known.

    Writes weights.toml for `fit --weights`, families.csv with every family left out in turn, and surface.png. Without
    --results the agents are recorded first, in the folder `suite` inside.
    """
    with reporting() as run, output_folder(out) as run.clean_up:
        _share_devices()
        code = 0
        if results is None:
            run.say("planning")
            results = out / "suite"
            jobs, settings = _planned(
                agents, worlds, ["intelligence"], goals, episodes, seeds, agents_file, num_particles, tail_particles,
                concentrations,
            )  # fmt: skip
            _check_several_families(jobs, agents_file)
            code = _execute(run, results, jobs, settings, executor, workers, scheduler, batch, resume)
        else:
            _check_no_run(
                agents=agents, worlds=worlds, goals=goals, episodes=episodes, seeds=seeds, agents_file=agents_file,
                executor=executor, workers=workers, scheduler=scheduler, batch=batch, num_particles=num_particles,
                tail_particles=tail_particles, concentrations=concentrations, resume=resume,
            )  # fmt: skip
        run.say("tuning")
        from .tuning.outcome import tune_on, write_outcome

        outcome = tune_on(results, nulls=nulls)
        write_outcome(out, outcome, _TUNED)
        run.done()
        print(outcome.text())
        print(f"weights: {out / _TUNED[0]}")
        if code:
            raise typer.Exit(code)


def _check_several_families(jobs, agents_file) -> None:
    """Raise InputError, before hours of a run, unless one family can be left out and another remains."""
    from .agents.roster import read_roster

    roster = read_roster(agents_file)
    families = {roster[job.agent].family for job in jobs if roster[job.agent].kind != "degenerate"}
    if len(families) < 2:
        raise InputError(f"tuning leaves families of agents out in turn, and here is but {listed(families) or 'none'}")


def _able(methods) -> list[str]:
    """The methods that can run here; the others are left out with a warning. Raises InputError where none can."""
    from .suite.methods import why_skipped

    reasons = {name: why_skipped(name) for name in methods if why_skipped(name)}
    if len(reasons) == len(methods):
        raise InputError("; ".join(f"the method {name} cannot run: {reason}" for name, reason in reasons.items()))
    for name, reason in reasons.items():
        warnings.warn(f"the method {name} is left out: {reason}", stacklevel=2)
    return [name for name in methods if name not in reasons]


def _check_no_run(**options) -> None:
    """Raise InputError for options of a run that `tune` is given: where results are there they do nothing."""
    usual = inspect.signature(tune).parameters
    for name, value in options.items():
        if value != usual[name].default:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is for a run, and --results names one that has ended; leave out one of them")


def _planned(
    agents, worlds, methods, goals, episodes, seeds, agents_file, num_particles, tail_particles, concentrations
):
    """Jobs, and what makes their results comparable."""
    from .agents.roster import read_roster
    from .suite.jobs import in_turn, plan
    from .suite.resuming import agents_settings
    from .suite.worlds import WORLDS

    roster = read_roster(agents_file)
    families = {entry.family for entry in roster.values()}
    known = dict.fromkeys([*roster, *sorted(families)])
    named = list(roster) if agents == _ALL else _chosen(agents, known, "agent")
    wanted = [name for name, entry in roster.items() if name in named or entry.family in named]
    check_whole("seeds", seeds, 1)
    check_whole("num_particles", num_particles, 8)
    check_whole("tail_particles", tail_particles, 8)
    truths = {world: WORLDS[world]().utilities for world in _chosen(worlds, WORLDS, "world")}
    jobs = plan(
        agents=wanted,
        utilities=truths,
        methods=methods,
        seeds=range(seeds),
        num_episodes=[int(number) for number in _numbers("episodes", episodes)],
        nulls=[name for name in wanted if roster[name].kind == "null"],
    )
    if goals is not None:
        jobs = in_turn(jobs, truths, goals)
    settings = dict(
        num_particles=num_particles,
        tail_particles=tail_particles,
        concentrations=_numbers("concentrations", concentrations),
        **agents_settings(agents_file),
    )
    return jobs, settings


def _share_devices() -> None:
    """Before JAX is imported: else the first process takes three quarters of a device's memory, and others fail."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def _on_accelerators(folder, resume) -> dict:
    """`under_vmap`, where JAX runs on one now; a run goes on as it was begun, so that all rows are had in one way."""
    from .devices import accelerated
    from .suite.resuming import read_settings

    with contextlib.suppress(InputError):
        if resume:
            return {name: True for name, given in read_settings(folder).items() if name == "under_vmap" and given}
    return {"under_vmap": True} if accelerated() else {}


def _execute(run, folder, jobs, settings, executor, workers, scheduler, batch, resume) -> int:
    """Run the jobs; the exit code."""
    from .suite.execution import execute
    from .suite.executors import named_executor
    from .suite.live import LiveTable
    from .suite.resuming import begin
    from .suite.run import RUN, prepare

    where = named_executor(executor, workers=workers, scheduler=scheduler)
    check_whole("batch", batch, 1)
    settings = settings | _on_accelerators(folder, resume)
    start = begin(folder, jobs, settings, resume=resume)
    # Results stay whatever happens: from here on an interrupt takes nothing back.
    run.clean_up = None
    run.interrupted = f"interrupted; what was done is in {folder}, the same command with --resume goes on"
    if scheduler is None:
        worlds = dict.fromkeys(job.world for job in start.missing if job.method == "intelligence")
        prepare(list(worlds), settings, run.say)
    table = LiveTable(run)
    try:
        options = dict(settings=settings, executor=where, batch=batch, start=start, progress=table.update)
        outcome = execute(jobs, RUN, folder, **options)
    except KeyboardInterrupt as stop:
        table.stop()
        run.done()
        print(stop, file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        table.stop()
    if outcome.failed:
        from .suite.results import failures

        reasons = [f"{job.name}: {reason}" for job, reason in failures(folder).items()]
        run.done()
        several = outcome.failed > 1
        failed = f"{outcome.failed} job{'s' * several} failed, {'such as ' * several}{reasons[0]}"
        if not outcome.done:
            more = f"every reason is in {folder / 'failed'}, and with --resume they are tried again"
            print(f"error: the run failed: {failed}; {more}", file=sys.stderr)
            raise typer.Exit(1)
        print(failed, file=sys.stderr)
    return outcome.exit_code


def _chosen(text, known, what) -> list[str]:
    """The names in `text`, or all that are known."""
    if text == _ALL:
        return list(known)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(f"there is no {what} {listed(unknown) or repr(text)}; choose among {listed(known, 60)}")
    return list(dict.fromkeys(names))


def _numbers(name, text) -> list:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--{name} is {text!r}; give numbers by commas, such as 3,30") from None
    if name == "episodes" and not all(number >= 1 and number.is_integer() for number in found):
        raise InputError(f"--{name} is {text!r}; they are whole numbers of at least 1")
    if not all(0 < number < float("inf") for number in found):
        raise InputError(f"--{name} is {text!r}; they are numbers above 0")
    return list(dict.fromkeys(found))
