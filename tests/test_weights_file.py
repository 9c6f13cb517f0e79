"""weights.toml: what is written is read, and what is wrong is said by file and key."""

import pytest

from utiliscope.errors import InputError
from utiliscope.tuning.weights_file import Weights, read_weights, write_weights


def test_weights_are_written_and_read(tmp_path):
    weights = Weights(0.7, "exponential:0.6+random:0.1", "dirichlet:0.5")
    path = tmp_path / "weights.toml"
    write_weights(path, weights, {"families": ["one", "zwei, „drei“"], "log_score": -1.5})
    assert read_weights(path) == weights
    assert weights.policy_prior.concentration == 0.5
    assert weights.intelligence_law().share == 0.1 and weights.intelligence_law().law.beta == 0.6


def test_finitely_many_random_policies_take_any_beta(tmp_path):
    path = tmp_path / "weights.toml"
    write_weights(path, Weights(1.0, "exponential:2", "deterministic"))
    assert read_weights(path).intelligence_law().beta == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simplicity = 1.0", "law is None"),
        ("simplicity = 'a'\nlaw = 'bump'\nrandom_policies = 'dirichlet:1'", "simplicity is 'a'"),
        ("simplicity = -1\nlaw = 'bump:5'\nrandom_policies = 'dirichlet:1'", "at least 0"),
        ("simplicity = 1\nlaw = 'hump'\nrandom_policies = 'dirichlet:1'", "hump"),
        ("simplicity = 1\nlaw = 'bump:5'\nrandom_policies = 'dirichlet:1'\nbeta = 3", "'beta'"),
        ("simplicity = = 1", "cannot be read"),
        ("simplicity = 1\nlaw = 'hump'\nrandom_policies = 'dirichlet:1'", r"weights\.toml: law is 'hump'; choose"),
        (
            "simplicity = 1\nlaw = 'bump:5'\nrandom_policies = 'dice'",
            r"weights\.toml: random_policies is 'dice'; choose",
        ),
        (
            "simplicity = 1\nlaw = 'exponential:2'\nrandom_policies = 'dirichlet:1'",
            r"weights\.toml: law is 'exponential:2': .*improper",
        ),
        (
            "simplicity = 1\nlaw = 'exponential:1+random:0.1'\nrandom_policies = 'dirichlet:1'",
            r"weights\.toml: law is 'exponential:1\+random:0.1': .*improper",
        ),
        (
            "simplicity = 1\nlaw = 'bump:0'\nrandom_policies = 'dirichlet:1'",
            r"weights\.toml: law is 'bump:0': BumpLaw\(mean=0.0\)",
        ),
        (
            "simplicity = 1\nlaw = 'bump'\nrandom_policies = 'dirichlet:-1'",
            r"weights\.toml: random_policies is 'dirichlet:-1': ",
        ),
    ],
)
def test_bad_weights_are_refused(tmp_path, text, message):
    path = tmp_path / "weights.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_weights(path)
    with pytest.raises(InputError, match="does not exist"):
        read_weights(tmp_path / "none.toml")
