"""`python -m cdrl` is `cdrl`."""

from cdrl.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
