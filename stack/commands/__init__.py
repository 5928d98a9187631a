"""One module a group of commands; ``stack.cli`` loads them in the order of ``--help``."""
