"""Turns pip's long output into one line per step, so that set-up shows progress and stays short.

Reads standard input; runs before the environment exists, so it uses the standard library alone.
"""

import sys
import time


def main() -> None:
    """Print what is being fetched and installed; print everything else only on an error."""
    started = time.monotonic()
    collected = 0
    errors: list[str] = []
    for raw in sys.stdin:
        line = raw.strip()
        if line.startswith("Collecting "):
            collected += 1
            name = line.split()[1].split("==")[0]
            sys.stdout.write(f"\r    {time.monotonic() - started:4.0f} s  {collected:3} {name:<44}")
        elif line.startswith("Installing collected"):
            sys.stdout.write(f"\r    {time.monotonic() - started:4.0f} s  installing{'':<44}")
        elif line.startswith("Successfully installed"):
            sys.stdout.write(f"\r    {time.monotonic() - started:4.0f} s  installed{'':<44}\n")
        elif line.startswith(("ERROR", "error:")) or errors:
            errors.append(line)
        sys.stdout.flush()
    if errors:
        print("\n".join(["", *errors]), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
