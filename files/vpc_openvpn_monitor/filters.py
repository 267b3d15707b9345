"""All packet filters of this host, other programs' too, as their tools print them; `status` judges them."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

_PATIENCE = 1.0  # seconds for one tool's answer, which takes some milliseconds
_MOST = 1 << 20  # bytes of one answer; a longer one is not read
_LEGACY = Path("/proc/net/ip_tables_names")  # tables of iptables-legacy that hold something


def held() -> dict[str, str | None]:
    """`iptables` and `legacy` as iptables-save has them, `nft` as JSON. Empty where that tool is not there, None where
    it gives no answer that can be read.
    """
    return {
        "iptables": _said(["iptables-nft-save"]) or _said(["iptables-save"]),
        "legacy": _said(["iptables-legacy-save"]) if _legacy() else "",
        "nft": _said(["nft", "-j", "-t", "list", "ruleset"]),
    }


def _legacy() -> bool:
    try:
        return bool(_LEGACY.read_text(encoding="ascii").strip())
    except OSError:
        return False


def _said(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 and len(done.stdout) <= _MOST else None
