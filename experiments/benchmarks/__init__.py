"""Measurements behind every claim of speed: ratios from one run in which the contestants take turns."""
