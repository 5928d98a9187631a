"""The one error family of the embedded stack, so that a command can catch it in one place."""


class StackError(RuntimeError):
    """The embedded stack cannot start or run; the text says what happened and what to change."""
