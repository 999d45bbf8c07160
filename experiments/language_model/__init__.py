"""A recurrent language model, trained under every kind of recurrent dropout."""
