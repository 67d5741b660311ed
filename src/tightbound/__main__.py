"""``python -m tightbound``."""

from tightbound.cli import main

main()
