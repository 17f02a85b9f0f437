"""`python -m collector` is `collector`."""

import sys

from collector.cli import main

sys.exit(main())
