"""Concrete dropout on a line with noise: what its rates and uncertainties do as data are added."""
