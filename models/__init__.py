"""Generative programs of the operator, one a file; `fit(program=...)` takes a name here or the path of your own.

A program is a NumPyro function. It is given what its arguments name, and the work is done only for what it asks for:

    counts                  [S, A] how often each action was taken in each state
    actions                 [N] recorded actions
    action_values           [U, N, A] optimal values of each candidate at each recorded decision
    subject_counts          [N, S, A] counts of each of N operators
    value, value_error      [U] mean utility of the recorded episodes, and its standard error (achieved reading)
    subject_value, subject_value_error      [N, U] the same of each operator
    world, candidates, weights              what `fit` was given, or its defaults
    tails, subject_tails, atlas             how rare values are among random policies
    policy_prior, intelligence_law, simplicity, temperature, noise      settings of `fit`

and says what it finds by the names of its sites: `utility_log_prob` [U], the log posterior of the utility given the
other sites (a program that asks for `candidates` has to have it); `intelligence` [U], bits (one with tails, too);
`policy` [S, A] or `subject_policy` [N, S, A]; `weights` [F]; all others are kept under their names. The weight of
intelligence is a factor called `operator`. Discrete sites, of which one is called `utility`, are summed out. What is
returned, if anything, are log probabilities of actions: [N, A], or [U, N, A] for each utility; over states, [S, A] or
[U, S, A], if the program asks for `counts`. For the prior it is run on an empty recording: no counts, no actions.
Recorded arrays are traced: compute with `jnp`, and choose by `jnp.where` where Python's `if` would look at them.
"""
