"""A shell script that installs Debian packages, and says what keeps it from that: where, and what to type.

Exit statuses and apt's own error lines decide, so it runs under LC_ALL=C.
"""

from collections.abc import Mapping, Sequence
from shlex import quote


def install(packages: Sequence[str], minimum: Mapping[str, tuple[str, str]]) -> str:
    """The script, one shell command. It installs nothing where a package of `minimum` is too old.

    `minimum` gives, by package, the lowest version that will do and which releases have it.
    """
    checks = "\n".join(
        f"recent {quote(name)} {quote(version)} {quote(releases)}" for name, (version, releases) in minimum.items()
    )
    return _SCRIPT.replace("PACKAGES", quote(" ".join(packages))).replace("CHECKS", checks)


# Another apt, and a fresh instance's cloud-init, which writes apt's sources, get five minutes. `apt-get -qq` prints
# what is wrong and nothing else. A source that fails does not matter while the others have what is needed.
_SCRIPT = r"""(
packages=PACKAGES
export DEBIAN_FRONTEND=noninteractive
deadline=$(( $(date +%s) + 300 ))

fail() { printf '%s\n' "$@" >&2; exit 1; }
left() { echo $(( deadline - $(date +%s) )); }
sources() { apt-get --print-uris update 2>/dev/null; }
offer() { apt-cache policy "$1" | sed -n 's/^  Candidate: //p' | grep -vxF '(none)'; }
not_offered() { for each in $packages; do offer "$each" >/dev/null || printf ' %s' "$each"; done; }
errors() { echo "$said" | grep -E '^(E|W|Err|dpkg):? ?' | sed 's/^/    /' | head -n 8; }

update() {
    while said=$(apt-get -qq update 2>&1); status=$?; [ $status -ne 0 ]; do
        case $said in
            *'Could not get lock'*) ;;
            *Malformed* | *'sources could not be read'*)
                fail "apt cannot read its own sources:" "$(errors)" "Mend that file, and type: apt-get update" ;;
            *) return ;;
        esac
        [ "$(left)" -gt 0 ] || fail "another apt has held its lock for five minutes:" "$(errors)"
        sleep 5
    done
}

full_disk() {
    case $said in *'No space left on device'* | *'enough free space'*)
        fail "a disk of this host is full:" \
            "$(df -h /usr /var /var/cache/apt/archives 2>/dev/null | sort -u | sed 's/^/    /')" \
            "Make room, for example: apt-get clean; journalctl --vacuum-size=100M" ;;
    esac
}

recent() { # recent PACKAGE VERSION RELEASES
    offered=$(offer "$1") || return 0 # said below
    dpkg --compare-versions "$offered" ge "$2" ||
        fail "this host offers $1 $offered; $2 or later is needed, which $3 has"
}

install() {
    said=$(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --yes --no-install-recommends \
        $packages 2>&1)
}

if command -v cloud-init >/dev/null; then timeout "$(left)" cloud-init status --wait >/dev/null 2>&1; fi
update
while [ -z "$(sources)" ] && [ "$(left)" -gt 0 ]; do
    sleep 2
    update
done

held=$(apt-mark showhold $packages)
[ -z "$held" ] || fail "apt holds back $(echo $held), which must be installed. Type: apt-mark unhold $(echo $held)"
CHECKS
missing=$(not_offered)
if [ -n "$missing" ]; then
    full_disk
    [ -n "$(sources)" ] ||
        fail "apt has no source: write the release's own into /etc/apt/sources.list, and type: apt-get update"
    [ -z "$said" ] ||
        fail "no source of apt that answers offers$missing; of these there is no answer:" "$(errors)" \
            "Mend them in /etc/apt/sources.list or /etc/apt/sources.list.d, and type: apt-get update"
    fail "no source of apt offers$missing. Add one that does in /etc/apt/sources.list.d. See: apt-cache policy$missing"
fi
# An apt that was cut short leaves packages half installed; their dependencies may be missing.
finish() {
    [ -n "$(dpkg --audit)" ] && { dpkg --configure -a || apt-get -qq --fix-broken install --yes; } >/dev/null 2>&1
}
install || { finish && install; } || {
    full_disk
    case $said in
        *'Failed to fetch'*)
            fail "apt could not fetch packages:" "$(errors)" \
                "Does this host reach the mirror? Type there: apt-get update" ;;
        *'held broken packages'* | *'Held packages were changed'*)
            fail "held packages keep apt from installing $packages:" "$(errors)" "See: apt-mark showhold" ;;
    esac
    fail "apt could not install $packages:" "$(errors)" "See: apt-get install --dry-run $packages"
}
)"""
