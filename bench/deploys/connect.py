"""A deploy of nothing: pyinfra starts, reads the inventory, connects to every host, and is done.

How long that takes is pyinfra's own share of a deploy that changes nothing.
"""
