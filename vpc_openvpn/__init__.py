"""The product, but for what pyinfra's users look for in the root: `deploy.py`, `inventory.py`, `tasks/`, `templates/`.

Layers, each importing only those below it that it names; `tests/test_layers.py` holds them to that.

    command     the verbs of `./vpc`                         → status, ssh, identities and what is below
    status      how the site is now: asked, judged, said     → ssh, remote, diagnosis, site, text
    session     what each run of pyinfra begins with         → ssh, remote, output, terminal
    ssh         the operator's keys, hosts' keys             → site, system, terminal, text, whole
    identities  what tunnels trust: made, kept, handed out   → site, system, terminal, whole
    diagnosis   what a host's answers mean for a packet; pure → site
    remote      pyinfra extended: facts, files, operations   → text; knows no site
    site        the site file and a plan for each host; pure no I/O but the loader's
    version     which release this is                        → site
    output      standard output whose reader may be gone
    system      what the operating system refuses, in words; pure
    terminal    questions to the operator; passphrases
    text        what others have written, fit for a terminal
    whole       files that are written whole or not at all

`tasks/` has remote, identities, diagnosis, site, system, version and text below it. `lab/` and `bench/` use what a
user uses, and `output`.
"""
