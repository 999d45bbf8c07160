"""Active learning on MNIST: which images to have labelled, by MC dropout."""
