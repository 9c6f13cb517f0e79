"""Generative programs of the operator, one a file; `fit(program=...)` takes a name here or the path of your own."""
