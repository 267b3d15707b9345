"""Measurements: each a program, its environment, its raw results, and what is generated from them."""
