"""The command `./vpc`: a module for each verb or kind of verb. Its commands' docstrings are their help.

What takes a run of pyinfra is typed for the user, and shown (`pyinfra`); so nothing here imports pyinfra or tasks.
Exit statuses are the same everywhere: 0 success, or no drift; 1 failure, with the cause on standard error;
2 changes are pending (`drift`) or the site is degraded (`status`); 130 interrupted.
"""

COMPLETE = "_VPC_COMPLETE"  # set in the environment by a shell that completes words
MATCH, ERROR, PENDING, INTERRUPTED = 0, 1, 2, 130  # `status` has its own, status/model.py
