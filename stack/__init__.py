"""The embedded stack (evaluation, development, tests) and the command line."""
