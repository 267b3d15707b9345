#!/bin/sh
# The same job written by hand, and nothing else: the files of each host, its packages, settings and units, over one ssh
# connection for each host, all hosts at once.
#
# floor.sh deploy FOLDER HOST…    FOLDER has ssh_config, and for each HOST a folder with `files`, `paths` and `units`
# floor.sh apply                  on a host, where these are in the current directory
set -eu
export LC_ALL=C

deploy() { # deploy FOLDER HOST
    tar -c -C "$(dirname "$0")" floor.sh -C "$1/$2" files paths units |
        ssh -F "$1/ssh_config" "$2" "sudo sh -c '
            umask 077 && cd \$(mktemp -d) && tar -x && sh floor.sh apply
            status=\$?; rm -rf \$PWD; exit \$status'"
}

apply() {
    packages="openvpn bird2 iptables conntrack iputils-ping"
    units=$(cat units)
    if [ "$(dpkg-query -W -f '${db:Status-Status}\n' $packages 2>/dev/null | grep -cx installed)" != 5 ]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends $packages >/dev/null
        systemctl disable --quiet --now bird.service # Debian's own instance, which is not used
    fi
    if [ "$(listing files)" = "$(listing /)" ]; then
        systemctl start $units # nothing, for those that run
        echo "$(uname -n): unchanged"
        return
    fi
    (cd files && tar -c --no-recursion -T ../paths) | tar -x -p -C /
    systemctl daemon-reload
    systemctl enable --quiet $units vpc-openvpn-again.service
    systemctl restart vpc-openvpn-firewall.service # before anything is forwarded
    /usr/lib/systemd/systemd-sysctl /etc/sysctl.d/zz-vpc-openvpn.conf
    systemctl restart $(grep -v firewall units)
    echo "$(uname -n): deployed"
}

listing() { # what there is of `paths` below $1
    paths=$PWD/paths
    (cd "$1" && xargs -a "$paths" stat -c '%F %a %U %G %n' && xargs -a "$paths" sha256sum) 2>/dev/null || true
}

case $1 in
    apply) apply ;;
    deploy)
        folder=$2
        shift 2
        running=
        for host; do
            deploy "$folder" "$host" &
            running="$running $!"
        done
        for process in $running; do
            wait "$process"
        done
        ;;
esac
