"""Runs pip as if it ran in the sandbox: which packages are needed there is judged for it, and not for this machine.

Arguments: the values of markers as JSON, then those of pip.
"""

import json
import sys

from pip._internal.cli.main import main
from pip._vendor.packaging import markers

environment = json.loads(sys.argv[1])
markers.default_environment = lambda: dict(environment)
sys.exit(main(sys.argv[2:]))
