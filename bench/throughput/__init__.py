"""How much crosses a tunnel, beside OpenVPN alone and beside no tunnel at all: `python -m bench.throughput`.

matrix     contenders × ways, and what the sweep tries, as data
stream     the program on the desk and on the application hosts that gives and takes bytes
bare       blank hosts with an OpenVPN that was started by hand: what the cookbook is measured against
run        brings the labs up, measures turn by turn: → Results
figures    pure: turns → medians, ratios, verdicts; Results, and how they are kept
report     Results → the tables and the chart
"""
