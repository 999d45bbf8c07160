"""A small transformer on the sentiment of sentences, trained under every kind of dropout for transformers."""
