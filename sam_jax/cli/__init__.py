"""The command line, one file for each sub-command.

Options are plain dataclasses. Modules that are slow to import are imported when the sub-command runs.
"""
