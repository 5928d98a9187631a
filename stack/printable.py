"""Text that senders chose, made harmless for a terminal."""


def printable(text: str, most_chars: int = 60) -> str:
    """One line without control characters (a name could move the cursor), cut to a length."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= most_chars else shown[: most_chars - 1] + "…"
