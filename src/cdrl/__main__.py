"""`python -m cdrl` is `cdrl`."""

from cdrl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
