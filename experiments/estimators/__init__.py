"""Errors of estimators of what a network with dropout predicts."""
