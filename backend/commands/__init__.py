"""The sub-commands of run.py: one module each, with HELP, `add_arguments(parser)` and `run(options)`."""
