"""What a host's own answers mean for a desk's packet: its firewalls, its routing rules, its routes. Pure: no I/O.

`filters` reads rulesets and follows a packet through them, `routes` reads what the kernel says of a packet's way,
`office` and `nat` turn the answers of a proof (`templates/*/proof.sh`) into findings.
"""
