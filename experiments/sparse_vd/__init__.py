"""Sparse variational dropout on MNIST, beside magnitude pruning at the same sparsity."""
