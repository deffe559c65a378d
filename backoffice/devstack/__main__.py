"""`python -m backoffice.devstack …`: the same as `manage.py devstack …`, without loading Django first."""

import sys

from backoffice.devstack.cli import main

sys.exit(main(sys.argv[1:], prog="python -m backoffice.devstack"))
