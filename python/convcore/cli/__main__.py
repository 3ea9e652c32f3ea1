"""`python -m convcore.cli`."""

from . import main

main()
