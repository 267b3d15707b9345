"""What pyinfra 3.10 does not have and the tasks need: batched facts of a host's state, and operations that act on them.

`facts` reads, `files` and `operations` write. Nothing here knows what a site, a zone or a tunnel is.
"""
