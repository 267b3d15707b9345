"""The exception of this package."""


class CredentialsError(Exception):
    """Something about keys or certificates that the operator must mend. Says what, where and what to type.

    It carries no secret, and neither does its chain: it is raised `from None`, and never through a function
    that holds a secret in a variable, for a traceback may show variables too.
    """
