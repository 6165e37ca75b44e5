"""Initialise rows of new tokens from the base's rows: pure functions on tensors."""
