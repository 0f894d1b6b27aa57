"""The tests mirror the package: ``tests/<part>/test_*.py`` holds what is claimed about ``crawlsock.<part>``."""
