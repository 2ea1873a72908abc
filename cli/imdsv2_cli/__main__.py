"""`python -m imdsv2_cli` is `imdsv2`."""

from imdsv2_cli.main import main

if __name__ == "__main__":
    main()
