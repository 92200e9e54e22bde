"""One file per subcommand of `harness`; cli.py mounts them."""
