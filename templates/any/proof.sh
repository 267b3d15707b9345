# Every proof is sent to a host's shell after `patience=SECONDS`: this file, its role's, and the calls. Each line of the
# answer begins with a word that names what follows: `wrong` (what keeps packets from crossing; what follows it is
# indented), or a name of facts that are judged where the proof came from.

# patiently TRIES SECONDS COMMAND…: so many tries at least, and for so long, until it succeeds
patiently() {
    tries=$1 deadline=$(( $(date +%s) + $2 )); shift 2
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# Beside the others, with what it prints in one piece.
at_once() {
    { said=$("$@"); [ -z "$said" ] || printf '%s\n' "$said"; } &
}

# cross INTERFACE UNIT WHO ADDRESS…: a packet goes, and its answer comes back; of several far ends one has to answer
cross() {
    interface=$1 unit=$2 who=$3; shift 3
    patiently 1 "$patience" one_answers "$@" && return
    echo "wrong no answer from $* ($who) through $interface; $unit is $(systemctl is-active "$unit"), and says:"
    journalctl --unit "$unit" --identifier openvpn -n 8 --no-pager --output cat 2>/dev/null | sed 's/^/wrong     /'
    ! systemctl is-active --quiet "$unit" || [ -n "$(ip -4 -o address show dev "$interface" up 2>/dev/null)" ] ||
        ! came_up "$unit" ||
        echo "wrong     another program has taken $interface down, or its address away. Type: systemctl restart $unit"
    return 1
}
# Since its unit has started. Where the journal does not reach back so far, it has.
came_up() {
    journalctl --quiet "_SYSTEMD_INVOCATION_ID=$(systemctl show --property InvocationID --value "$1")" --output cat |
        awk '/^OpenVPN 2/ { waits = 1 } /Initialization Sequence Completed/ { waits = 0 } END { exit waits }'
}
one_answers() {
    for far in "$@"; do
        asked -I "$interface" "$far" && return
    done
    return 1
}
asked() { ping -q -n -c 1 -W 1 "$@" > /dev/null 2>&1; }

# What the kernel holds, of others as well. Tables that iptables-save shows are its own; nft would show them less well.
holds() {
    echo "rules $(ip -j -4 rule)"
    echo "routes $(ip -j -4 route show table main)"
    saved=$(iptables-nft-save 2>/dev/null || iptables-save 2>/dev/null)
    printf '%s\n' "$saved" | sed 's/^/iptables /'
    ! grep -qs . /proc/net/ip_tables_names || iptables-legacy-save 2>/dev/null | sed 's/^/legacy /'
    nft list tables 2>/dev/null | while read -r _ family table; do
        case $family in ip | inet | netdev) ;; *) continue ;; esac
        ! { [ "$family" = ip ] && printf '%s\n' "$saved" | grep -qx "\*$table"; } || continue
        echo "nft $(nft -j -t list table "$family" "$table" | tr '\n' ' ')"
    done
}
