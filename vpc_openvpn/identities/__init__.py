"""Operator side: make, keep and hand out the identities that tunnels trust. Nothing here runs on a host.

A host's identity is its private key, its certificate and the fingerprint that its peers pin; each tunnel adds
a tls-crypt key of its own. There is no CA. They live in a folder that a team may keep in git, secrets
encrypted with age:

    recipients.txt          who can read the secrets: public keys, of age or ssh
    recipients.lock         who could when they were written; the certificates' fingerprints; the site, by its NATs
    <host>.crt              public: the certificate, its fingerprint above it in plain text
    <host>.key.age          the host's private key
    tunnel-<zone>.key.age   the tls-crypt key of that zone's tunnel
    *.next.*, *.old.*       while a rotation is under way: what is to come, and what was (`rotation`)

Layers, each importing only those above it:
    errors      the one exception that leaves this package
    files       files that appear whole or not at all
    terminal    questions to the operator
    recipients  the lines of recipients.txt
    header      what an encrypted file says of itself; pure
    lock        recipients.lock; pure
    ssh_key     the operator's ssh key
    plugins     keys of age's plugins
    age         the operator's own key: find it, make it, encrypt, decrypt
    material    keys, certificates, static keys: pure
    store       the folder: what the deploy reads
    writing     the folder: every file is noted in recipients.lock before it is written
    people      who can read: added, removed, checked; `./vpc identities recipients`, `reencrypt`
    init        what `./vpc identities init` adds to the folder
    rotation    another identity in place of one, in stages that the files tell
    report      what the folder holds, how old it is, what is due; what hosts run, compared with it
"""
