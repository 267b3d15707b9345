"""What a deploy costs, beside a hand-written script and Ansible, in the lab: `python -m bench.deploys`.

contenders   what is typed to deploy and to rebuild, by the cookbook, by floor.sh, and by the playbook
floor.sh     the same job by hand, over one ssh connection for each host
playbook     the same job as an Ansible user writes it
material     what the cookbook leaves on the hosts: the others' input, and what they are compared with
stopwatch    the program at the operator's workstation that times a command
probe        the program on the desk that sees by which nat a zone is reached
connect      a deploy file that does nothing but connect
hosts        the office router and the nats: blank, compared, counted, trusted
workstation  the operator's workstation: what is typed there, near or far
sections     what is measured, in which order: → Results
results      pure: measures, and how they are kept
goals        pure: what the measures must be: Results → verdicts
report       Results → tables and a chart
"""
