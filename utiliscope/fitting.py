"""From a recording to a folder of results: what the commands `fit` and `demo` do. Heavy imports wait inside."""

import math

from .choices import named_law
from .errors import InputError
from .outputs import together
from .terminal import print_table, print_weights

POSTERIOR, UTILITIES, REPORT = "posterior.nc", "utilities.csv", "report.html"
SUBJECTS = "subjects.csv"  # beside them, where there are several operators


def fit_into(run, out, behaviour, model, *, max_bits, states, beta=None, law=None, **settings):
    """Fit, write the three files, print what was found."""
    if beta is not None and not math.isfinite(beta):
        raise InputError(f"--beta is {beta}; it must be a number below 1")
    if beta is not None and law:
        raise InputError("--beta and --law both name the intelligence law; give one")
    from .inference import fit
    from .inputs import asked_for
    from .laws import ExponentialLaw
    from .policies import Dirichlet
    from .posterior import save_posterior, utility_table
    from .programs import load_program
    from .report import write_report
    from .sequences import comparison_world
    from .summaries import subject_table, weight_table
    from .utilities import FeatureWeights, Grammar

    prior = settings.setdefault("policy_prior", Dirichlet(1.0))
    program = load_program(settings.pop("program", "candidates"), settings.get("reading", "policy"))
    given = {}
    if law or beta is not None:
        given["intelligence_law"] = named_law(law, atomic=prior.atomic) if law else ExponentialLaw(beta)
    if "weights" in asked_for(program, settings.get("reading", "policy")):
        if max_bits is not None:
            raise InputError("--max-bits is the longest utility; this program weighs features instead, leave it out")
        given["weights"] = FeatureWeights(model, states=states)
    else:
        run.say("enumerating utilities")
        # Over the horizon of action sequences other programs agree than without end.
        given["candidates"] = Grammar(comparison_world(model, prior), states=states).enumerate(
            max_bits=12.0 if max_bits is None else max_bits
        )
    posterior = fit(behaviour, model, program=program, progress=run.say, **given, **settings)
    run.say("drawing the report")
    over_weights = "weights" in posterior["posterior"].dataset
    table = (weight_table if over_weights else utility_table)(posterior)
    several = "subject_log_prob" in posterior["posterior"].dataset
    with together(out, (POSTERIOR, UTILITIES, REPORT, *[SUBJECTS] * several), run) as folder:
        save_posterior(posterior, folder / POSTERIOR)
        table.to_csv(folder / UTILITIES, index=False)
        write_report(posterior, folder / REPORT)
        if several:
            subject_table(posterior).to_csv(folder / SUBJECTS, index=False)
    run.done()
    (print_weights if over_weights else print_table)(table)
    print(f"report: {out / REPORT}")
