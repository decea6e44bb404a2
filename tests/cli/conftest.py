"""How the tests run the command line."""

import pytest

from kvmlab import cli


@pytest.fixture
def run(capsys):
    """Return a function that runs the command line: (exit code, stdout, stderr)."""

    def run(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = end.code
        return code, *capsys.readouterr()

    return run
