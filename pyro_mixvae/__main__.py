"""``python -m pyro_mixvae`` is ``pyro-mixvae``."""

import sys

from pyro_mixvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
