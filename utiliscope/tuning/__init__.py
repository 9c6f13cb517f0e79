"""Tuning simplicity against intelligence on agents whose utility is known: evidence -> search -> weights.toml."""
