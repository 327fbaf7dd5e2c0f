"""Changes the library in small ways, and says which changes no test notices.

`python -m tests.mutation protocol` (`make mutation ARGS="protocol"`) draws mutants of a folder of
the package with a seed, plays the unit tests and the vectors against each, and lists those that
survive. `mutators` says what is changed, `mutants` which of it, `reach` which tests can notice it,
`processes` runs them, `session` remembers the results. `explained.toml` lists the mutants that
behave as the original does.

mutmut brings the changes, not the runner: its own runner changes nothing in decorated functions and
at module level, and draws no sample. That of cosmic-ray starts an interpreter for each mutant,
which takes 1.4 s on a machine on which a fork that has the packages imported takes 0.4 s.
"""
