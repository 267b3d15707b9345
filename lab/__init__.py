"""The lab: an office, a VPC and the internet between them, made of real Debian hosts on one Linux machine.

    python -m lab up            python -m lab run -- pyinfra inventory.py deploy.py

Bird's-eye view, from what knows nothing to what knows everything:

    layout       names and addresses of everything, computed from the number of zones (pure)
    site         the lab's site.yml (pure)
    vpc          how AWS judges packets: routes, checks, security groups (pure)
    system       running a command, errors that a user reads
    state        where the lab keeps its things, what it remembers, its lock
    namespaces   network namespaces and the processes in them
    cgroups      a control group per real host
    network      switches, routers, cables, faults
    image        the base system of the hosts and the package repository, built once
    hosts        a host's disk, power and console
    impair       a program for the internet's host: delay, jitter and loss on the lines
    supervisor   the process that runs one host and brings it back after a reboot from inside
    web          "some web server" on the internet, which is also the hosts' package repository
    cli          the verbs

The machine's own network namespace, firewall and sysctls are never touched: cables are made between
namespaces, bridges inside one. Of the cookbook the lab uses only what a user does, `./vpc identities init`.
"""
