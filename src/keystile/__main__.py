"""``python -m keystile``."""

from .cli import main

main(prog_name="keystile")
