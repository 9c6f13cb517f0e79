"""From a recording to a folder of results: what the commands `fit` and `demo` do. Heavy imports wait inside."""

import math

from .choices import named_law
from .errors import InputError
from .outputs import together
from .terminal import print_parameters, print_table, print_weights

POSTERIOR, UTILITIES, REPORT = "posterior.nc", "utilities.csv", "report.html"
SUBJECTS, PARAMETERS = "subjects.csv", "parameters.csv"  # beside them, where there are operators or parameters to tell


def fit_into(run, out, behaviour, model, *, max_bits, states, beta=None, law=None, **settings):
    """Fit, write the files, print what was found."""
    if beta is not None and not math.isfinite(beta):
        raise InputError(f"--beta is {beta}; it must be a number below 1")
    if beta is not None and law:
        raise InputError("--beta and --law both name the intelligence law; give one")
    from .inference import fit
    from .inputs import asked_for, compares_candidates
    from .laws import ExponentialLaw
    from .parameters import parameter_table
    from .policies import Dirichlet
    from .posterior import save_posterior, utility_table
    from .programs import load_program
    from .report import write_report
    from .sequences import comparison_world
    from .summaries import subject_table, told_of, weight_table
    from .utilities import FeatureWeights, Grammar

    prior = settings.setdefault("policy_prior", Dirichlet(1.0))
    program = load_program(settings.pop("program", "candidates"), settings.get("reading", "policy"))
    given = {}
    if law or beta is not None:
        given["intelligence_law"] = named_law(law, atomic=prior.atomic) if law else ExponentialLaw(beta)
    wanted = asked_for(program, settings.get("reading", "policy"))
    compares, weighs = compares_candidates(wanted), "weights" in wanted
    if max_bits is not None and not compares:
        instead = "weighs features instead" if weighs else "compares no utilities"
        raise InputError(f"--max-bits is the longest utility; this program {instead}, leave it out")
    if states and not (compares or weighs):
        raise InputError("--states adds goals; this program compares no utilities and weighs no features, leave it out")
    if weighs:
        given["weights"] = FeatureWeights(model, states=states)
    if compares:
        run.say("enumerating utilities")
        # Over the horizon of action sequences other programs agree than without end.
        given["candidates"] = Grammar(comparison_world(model, prior), states=states).enumerate(
            max_bits=12.0 if max_bits is None else max_bits
        )
    posterior = fit(behaviour, model, program=program, progress=run.say, **given, **settings)
    run.say("drawing the report")
    kind, parameters = told_of(posterior), parameter_table(posterior)
    tables = {} if parameters.empty else {PARAMETERS: parameters}
    if kind != "parameters":
        tables[UTILITIES] = (weight_table if kind == "weights" else utility_table)(posterior)
    if "subject_log_prob" in posterior["posterior"].dataset:
        tables[SUBJECTS] = subject_table(posterior)
    # Only where a fit has been before are such files its own.
    others = {UTILITIES, SUBJECTS, PARAMETERS} - set(tables) if (out / POSTERIOR).is_file() else ()
    with together(out, (POSTERIOR, *tables, REPORT), run, instead_of=others) as folder:
        save_posterior(posterior, folder / POSTERIOR)
        write_report(posterior, folder / REPORT)
        for name, table in tables.items():
            table.to_csv(folder / name, index=False)
    run.done()
    if kind != "parameters":
        (print_weights if kind == "weights" else print_table)(tables[UTILITIES])
    if not parameters.empty:
        print_parameters(parameters)
    print(f"report: {out / REPORT}")
