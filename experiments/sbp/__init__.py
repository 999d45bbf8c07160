"""Structured Bayesian pruning of whole units on MNIST."""
