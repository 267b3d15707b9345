"""pyinfra's own settings for this cookbook."""

REQUIRE_PYINFRA_VERSION = "==3.10.0"  # what its facts, exit codes and diffs were tested with
CONNECT_TIMEOUT = 10  # seconds: a dead host costs the others no longer than this
