"""`python -m latentgeo.core.run` is `latentgeo`."""

import sys

from latentgeo.core.run.main import main

sys.exit(main())
