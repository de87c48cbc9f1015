"""Runs that anyone can repeat: each file says its command in its docstring."""
