"""Text for terminals: what senders chose made harmless, numbers with their noun."""


def counted(number: int, noun: str) -> str:
    """``1 message``, ``2,000 messages``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def harmless(text: str) -> str:
    """Text of any length and lines in which nothing drives the terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def printable(text: str, most_chars: int = 60) -> str:
    """One line without control characters (a name could move the cursor), cut to a length."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= most_chars else shown[: most_chars - 1] + "…"
