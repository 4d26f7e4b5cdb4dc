"""`python -m streamst` is the `streamst` command."""

from streamst.cli import main

if __name__ == "__main__":
    main()
