"""Moment propagation: what `jaxdrop.moments` is made of."""
