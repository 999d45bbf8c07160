"""How noisy the gradients are when weights are sampled in one way or another."""
