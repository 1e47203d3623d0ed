"""`python -m atu` is the `atu` command."""

from atu.cli import main

if __name__ == "__main__":
    main()
