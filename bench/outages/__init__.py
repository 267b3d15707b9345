"""What each strategy loses in each kind of outage, measured in the lab: `python -m bench.outages`.

situations   strategies × situations, as data: what is typed to break and to mend the lab, and for how long
probe        the program on the hosts that sends and answers sequence-stamped packets
probes       the same from outside: starts it everywhere, collects what it prints
run          brings the lab up, breaks it, mends it, collects: → Results
losses       pure: probes → gaps → losses; Results, and how they are kept
expected     what each strategy may lose, and must: Results → deviations
report       Results → the table and the chart
"""
