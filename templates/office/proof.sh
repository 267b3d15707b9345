# lan NETWORK DESK…: where the router has one of the office's networks, as seen by the first of these addresses in it that
# is not its own. `source`, the router's address there, is what it asks probes from.
source= desks=
lan() {
    network=$1; shift
    for desk in "$@"; do
        [ -n "$(ip -4 -o address show to "$desk")" ] || break
    done
    route=$(ip -4 route get fibmatch "$desk" 2>&1)
    echo "lan $network $desk $route"
    case $route in
        default* | *RTNETLINK* | "" | unreachable* | blackhole*) ;;
        *) desks="$desks $network,$desk,$(echo "$route" | sed -n 's/.* dev \([^ ]*\).*/\1/p')" ;;
    esac
    [ -n "$source" ] || source=$(ip -4 -o address show to "$network" | sed -n '1s/.* inet \([0-9.]*\).*/\1/p')
}

# tunnel INTERFACE UNIT WHO MTU NAT OWN BEYOND FAR…: packets cross, the NAT forwards them, and large ones cross as well
tunnel() {
    interface=$1 unit=$2 who=$3 mtu=$4 nat=$5 own=$6 beyond=$7; shift 7
    [ -z "$own" ] || ip -4 -o address show dev "$interface" 2> /dev/null | sed -n 's/.* inet \([0-9.]*\).*/\1/p' | grep -vxF "$own" |
        sed "s/.*/wrong $interface has the address & as well, and with it the way to others. Type: ip address del & dev $interface/" || true
    cross "$interface" "$unit" "$who" "$@" || return
    if ! patiently 3 $((patience / 2)) forwards; then
        echo "wrong $nat answers through its tunnel but does not forward towards $beyond: is its net.ipv4.ip_forward 1?"
        return 1
    fi
    patiently 3 $((patience / 4)) large "$mtu" "$@" || echo "large $interface $mtu $(largest "$@")"
}
# One packet that may only make one hop: a host that forwards sends back "time to live exceeded".
forwards() { ping -n -c 1 -W 1 -t 1 ${own:+-I "$own"} -I "$interface" "$beyond" 2>/dev/null | grep -q 'Time to live exceeded'; }
large() { # large BYTES FAR…
    bytes=$1; shift
    for far in "$@"; do
        asked -M do -s $((bytes - 28)) -I "$interface" "$far" && return
    done
    return 1
}
largest() {
    for bytes in $(seq 1280 20 $((mtu - 1))); do
        { ! large "$bytes" "$@" || echo "$bytes"; } &
    done | sort -n | tail -n 1
}

# zone NAME INTERFACE OWN BEYOND PROBE OTHER…: the kernel's way for a desk's packet, and the probe's answer to the
# office's address, through the zone's own tunnel
zone() {
    zone=$1 interface=$2 own=$3 beyond=$4 probe=$5; shift 5
    began=$(date +%s)
    comes_home
    if [ -z "$probe" ] || [ -z "$source" ]; then
        answer=not-asked
    elif patiently 3 $((patience / 4)) from_office; then
        answer=answers
    elif from_tunnel; then
        answer=masqueraded-only
    elif from_elsewhere "$@"; then
        answer=elsewhere
    else
        answer=silent
    fi
    echo "probe $zone $answer"
    # Again: a health check may have moved the zone meanwhile; right after the tunnel was started for less than a second.
    comes_home
    echo "$ways"
    said=$(opinion)
    # Where it has no reason of its own, what follows has.
    case $said in
        "" | "by its own tunnel" | *" hears nothing of its NAT" | *" has no way through its own tunnel") ;;
        *) echo "state $zone $said" ;;
    esac
    [ -z "$own" ] || birdc -s "$socket" show bfd sessions 2>/dev/null |
        awk -v zone="$zone" -v own="$interface" '$2 == own { print "bfd", zone, $1, $3 }'
}
# What the monitor says of the zone: by which way, and why not by its own tunnel.
opinion() { "$monitor" show 2> /dev/null | sed -n "s/^$zone: //p"; }
# Waits for the zone to be led home, longer where its NAT is about to be trusted; `ways` says how it is then.
comes_home() {
    until leads_home || [ -e "$drained/$zone" ]; do
        limit=$patience
        case $(opinion) in *" has yet to prove itself") limit=$((patience * 3)) ;; esac
        [ $(( $(date +%s) - began )) -lt "$limit" ] || break
        sleep 0.5
    done
}
leads_home() {
    ways=$(for each in $desks; do
        network=${each%%,*} each=${each#*,}
        echo "way $zone $network ${each%,*} ${each#*,} $(ip -4 route get "$beyond" from "${each%,*}" iif "${each#*,}" 2>&1 | tr '\n' ' ')"
    done)
    ! printf '%s\n' "$ways" | grep '^way ' | grep -qv " dev $interface "
}
# Bound to the tunnel's interface: whatever the routes say, a detour does not answer for it.
from_office() {
    asked -I "$source" -I "$interface" "$probe"
}
from_tunnel() {
    asked -I "${own:-$interface}" "$probe"
}
from_elsewhere() {
    for other in "$@"; do
        asked -I "$other" "$probe" && return
    done
    return 1
}
