"""Says which process imported it."""

import os

BY = os.getpid()
