"""Lets `python -m nvsx` do what the `nvsx` command does."""

import sys

from nvsx.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
