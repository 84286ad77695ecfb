"""`python -m exante` is the same as `exante`."""

from exante.cli import main

main()
