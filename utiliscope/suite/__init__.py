"""The suite: worlds, agents whose utility is known, methods that infer it, and scores of what they claim."""
