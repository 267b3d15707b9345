# way WHAT SOURCE DESTINATION [INTERFACE]: what the kernel does with a packet that comes in there, or where its source is
way() {
    what=$1 from=$2 to=$3 comes_in=${4:-$(ip -4 route get "$2" | sed -n 's/.* dev \([^ ]*\).*/\1/p')}
    echo "way $what $from $to ${comes_in:--} $(ip -4 route get "$to" from "$from" iif "$comes_in" 2>&1 | tr '\n' ' ')"
}

# leaves ADDRESS…: a packet to the internet is answered, by one of the host's own package mirrors or by the office
leaves() {
    mirrors=$(grep -rhoE '^[^#]*https?://[^/ ]+' /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/mirrors 2>/dev/null |
        sed 's/.*\(https*:\/\/\)/\1/' | sort -u | head -n 5)
    patiently 2 "$((patience / 4))" any_answers "$@" || { echo "leaves no $(echo $mirrors "$@" | tr ' ' ',')"; return; }
    case $said in *mirror*) ;; *) echo "leaves office $(echo $mirrors | tr ' ' ',')" ;; esac
}
any_answers() {
    said=$(for mirror in $mirrors; do mirror_answers "$mirror" & done
        for address in "$@"; do { ! asked -W 2 "$address" || echo office; } & done
        wait)
    [ -n "$said" ]
}
# A refusal is an answer as well. One from a private address has not come from the internet.
mirror_answers() {
    place=${1#*://} place=${place##*@} port=80
    case $1 in https:*) port=443 ;; esac
    case $place in *:*) port=${place##*:} place=${place%:*} ;; esac
    address=$(getent ahostsv4 "$place" | sed -n '1s/ .*//p')
    case $address in "" | 10.* | 127.* | 169.254.* | 192.168.* | 172.1[6-9].* | 172.2?.* | 172.3[01].*) return ;; esac
    said=$(timeout 3 bash -c "exec 3<>/dev/tcp/$address/$port" 2>&1) && echo mirror && return
    case $said in *refused*) echo mirror ;; esac
}

forwarding() { [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || echo "wrong net.ipv4.ip_forward is not 1"; }
