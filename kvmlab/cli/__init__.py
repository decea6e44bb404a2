"""The command line: `kvmlab compare`, `explain`, `what-if`, `diff`, `live`, `convert` and `lessons`.

Exit codes: 0 done; 1 it could not be done here (no /dev/kvm, a file that cannot be written, a reader that went away);
2 wrong usage or bad input, with a sentence on stderr; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from kvmlab.cli.arguments import parser
from kvmlab.cli.commands import BAD_INPUT, CANNOT, INTERRUPTED, CannotError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit code; `arguments`: those of the program unless given."""
    args = parser().parse_args(arguments)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain again when it flushes stdout at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT
    except KeyboardInterrupt:
        return INTERRUPTED
    except CannotError as error:
        return complain(str(error), CANNOT)
    except OSError as error:
        known = error.filename and error.strerror
        return complain(f"{error.filename}: cannot be read: {error.strerror}" if known else str(error), BAD_INPUT)
    except ValueError as error:
        return complain(str(error), BAD_INPUT)


def complain(sentence: str, code: int) -> int:
    """Say on stderr what went wrong; return `code`."""
    print(f"kvmlab: {sentence}", file=sys.stderr)
    return code
