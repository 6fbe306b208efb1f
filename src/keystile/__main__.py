"""``python -m keystile``."""

from .cli.commands import main

main(prog_name="keystile")
