"""One network, trained under every method that applies to it."""
