"""``python -m crawlsock.cli``: the same command, for processes that know their interpreter and not their PATH."""

from crawlsock.cli import main

if __name__ == "__main__":
    main()
