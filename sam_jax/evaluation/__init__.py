"""Measuring: protocols, metrics, and methods to compare with."""
