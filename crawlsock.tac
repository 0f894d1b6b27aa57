"""Configuration from the environment, and from it the service: ``twistd -ny crawlsock.tac``."""

import os

from crawlsock.tap import make_application

application = make_application(os.environ)
