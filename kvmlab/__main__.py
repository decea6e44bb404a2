"""`python -m kvmlab`: the command line."""

import sys

from kvmlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
