"""The monitor: it asks through every tunnel, decides which ways to the zones work, and has BIRD use them.

Python's standard library alone: this is what a host runs. `machine` decides and does nothing else; the other modules
are the sockets, processes and files around it. Arrows point from `__main__` down; `machine` imports none of the others.
"""
