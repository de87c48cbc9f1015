"""The command line, one file a sub-command. Options are plain dataclasses; what is slow to import waits for `run`."""
