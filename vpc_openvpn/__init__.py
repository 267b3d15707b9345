"""The product, but for what pyinfra's users look for in the root: `deploy.py`, `inventory.py`, `tasks/`, `templates/`.

Layers, each importing only those below it that it names; `tests/test_layers.py` holds them to that.

    command     the verbs of `./vpc`                             → ssh, identities, site, output
    session     what each run of pyinfra begins with             → ssh, remote, output
    ssh         the operator's keys, hosts' keys                 → site
    identities  what tunnels trust: made, kept, handed out       → site
    diagnosis   what a host's answers mean for a packet; pure    → site
    remote      pyinfra extended: facts, files, operations       knows no site
    site        the site file and a plan for each host; pure     no I/O but the loader's
    output      standard output whose reader may be gone

`tasks/` has remote, identities, diagnosis and site below it. `lab/` and `bench/` use what a user uses, and `output`.
"""
