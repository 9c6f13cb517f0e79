"""Simulation-based calibration of every generative program, and of wrong ones, which must fail:

    python benchmarks/calibration.py [--only PROGRAM ...] [--simulations 500] [--out results]

One table (each row a quantity whose true value is ranked among posterior draws) and a figure for each program,
`calibration_PROGRAM.png`. A right program's quantity leaves its 95 % envelope in one case of twenty; at the end stands
whether the least p-value of each program is below 0.01 by Bonferroni's bound. See `utiliscope/calibration.py`.
"""

import argparse
import warnings
from functools import cache
from pathlib import Path

import calibration_achieved as achievers
import calibration_atlas as atlas
import calibration_cases as cases
import calibration_planners as planners
import calibration_wrong as wrong
import jax
import numpy as np
import pandas as pd
from markdown_table import print_table
from numpyro import distributions as dist

import utiliscope as us
from utiliscope.calibration import calibrate, plot_calibration
from utiliscope.stated_probabilities import probability_score


@cache
def setting(num_states):
    return cases.setting(num_states)


BETA, LAW, BUMP = ("beta",), cases.LAW, cases.BUMP
PROGRAMS = {
    "candidates": lambda: cases.candidates(setting(3), LAW, quantities=BETA),
    "candidates_bump": lambda: cases.candidates(setting(3), BUMP, quantities=("mean", "shape")),
    "candidates_mixture": lambda: cases.candidates(setting(3), cases.MIXTURE, quantities=("share",)),
    "noisy": lambda: cases.noisy(setting(3), LAW, dist.HalfNormal(1.0), quantities=BETA),
    "noisy_bump": lambda: cases.noisy(setting(3), us.BumpLaw(4.0, 4.0), dist.HalfNormal(1.0)),
    "population": lambda: cases.population(setting(3), LAW, quantities=BETA),
    "achieved": lambda: achievers.achieved(setting(2), LAW, 0.1, quantities=BETA),
    "achieved_bump": lambda: achievers.achieved(setting(2), us.BumpLaw(4.0, 4.0), 0.1),
    "achieved_population": lambda: achievers.achieved_population(setting(2), LAW, 0.1, quantities=BETA),
    "weights": lambda: atlas.weights(setting(3), us.BumpLaw(4.0, 4.0)),
    "boltzmann": lambda: planners.boltzmann(setting(3)),
    "boltzmann_weights": lambda: planners.with_weights(setting(3), "boltzmann_weights", False),
    "maxent": lambda: planners.maxent(setting(3)),
    "maxent_weights": lambda: planners.with_weights(setting(3), "maxent_weights", True),
    "wrong_law": lambda: cases.candidates(
        setting(3), us.ExponentialLaw(0.8), right=False, drawn_by=us.ExponentialLaw(0.2)
    ),
    "wrong_normaliser": lambda: cases.candidates(setting(3), LAW, wrong.without_normaliser, BETA, right=False),
    "wrong_density": lambda: cases.candidates(setting(3), LAW, wrong.with_other_policies, BETA, right=False),
    "wrong_recording": lambda: cases.candidates(setting(3), LAW, wrong.without_recording, BETA, right=False),
    "wrong_jacobian": lambda: planners.with_weights(setting(3), wrong.values_without_jacobian, False),
}
_WRONG_AT = 0.01


def calibrated(name: str, simulations: int, out: Path) -> pd.DataFrame:
    """The rows of one program; its figure is written."""
    case = PROGRAMS[name]()
    key = jax.random.key(list(PROGRAMS).index(name))
    result = calibrate(
        key,
        case.program,
        case.prior_draw,
        case.inputs,
        quantities=case.quantities,
        num_simulations=simulations,
        num_warmup=200,
        thinning=3,
    )
    plot_calibration(result, name).savefig(out / f"calibration_{name}.png", dpi=80)
    table = result.table()
    table.insert(0, "program", name)
    table["seconds"] = result.seconds
    verdict = "calibrated" if table["p_value"].min() > _WRONG_AT / len(table) else "not calibrated"
    expected = "" if (verdict == "calibrated") == case.right else " (NOT AS EXPECTED)"
    least = f"least p {table['p_value'].min():.2g} of {len(table)}, {int(table['outside'].sum())} outside"
    print(f"{name}: {verdict}{expected}; {least}; {100 * result.divergent:.2f} % of draws diverged", flush=True)
    if result.probability is not None:
        score, error, _ = probability_score(result.probability, result.utility)
        print("  [U is true] - P(U), then P(true) - sum P^2:", ", ".join(map(_with_error, score, error)), flush=True)
    return table


def _with_error(score, error):
    return f"{score:+.3f} +- {error:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("results"))
    chosen = parser.parse_args()
    chosen.out.mkdir(exist_ok=True, parents=True)
    warnings.simplefilter("error", RuntimeWarning)
    tables = []
    for name in chosen.only:
        tables.append(calibrated(name, chosen.simulations, chosen.out))
        jax.clear_caches()
    table = pd.concat(tables, ignore_index=True)
    right = table[~table["program"].str.startswith("wrong")]
    table["p_value"] = [f"{chance:.2g}" for chance in table["p_value"]]
    table["outside"] = np.where(table["outside"], "yes", "no")
    print()
    print_table(table.rename(columns={"p_value": "p", "outside": "outside 95 %"}))
    if len(right):
        left = int(right["outside"].sum())
        print(f"\nof right programs {left} of {len(right)} rows are outside; 5 % would be by chance")


if __name__ == "__main__":
    main()
