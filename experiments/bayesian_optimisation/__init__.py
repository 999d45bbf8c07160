"""Bayesian optimisation by networks with dropout."""
