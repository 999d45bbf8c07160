"""Uncertainty of each pixel: which parts of a scene a segmentation network does not know."""
