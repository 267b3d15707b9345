"""Sentences use plain words: the subject is a thing that can be listed, or the operator. ADRs keep their voice."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PHRASES = [
    "whoever",
    "somebody",
    "nobody",
    "all else",
    "the rest",
    "what is new",
    "thought of",
    "has a word",
    "have a word",
]
PHRASES += ["is told", "are told", "let go", "lets go"]
# A phrase may be part of a name, or continue on the next line of a comment.
BANNED = re.compile(rf"(?<![a-z])({'|'.join(PHRASES)})(?![a-z])".replace(" ", r"[\s#_]+"), re.IGNORECASE)
SKIPPED = re.compile(r"docs/decisions/|bench/\w+/results/|.*\.svg$|(.*/)?requirements\S*\.txt$|tests/test_words\.py$")
UNTRACKED = re.compile(r"(.*/)?(\.git|\.venv|__pycache__|\.\w+_cache|\.hypothesis)(/|$)|.*\.(key|log)$")
ALLOWED = {("tests/remote/test_files.py", '"nobody"'), ("tasks/alerts.py", '"nobody"')}  # the Unix user


def found(name: str, text: str) -> list[str]:
    """`FILE:LINE: PHRASE` for each banned phrase in `text`, which is the file `name`."""
    for file, literal in ALLOWED:
        text = text.replace(literal, "") if file == name else text
    return [f"{name}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}" for hit in BANNED.finditer(text)]


def files(root: Path) -> Iterator[str]:
    """Names of the files that git tracks below `root`; without git, of all that no tool writes."""
    if (root / ".git").exists() and shutil.which("git"):
        git = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
        if git.returncode == 0:
            yield from filter(None, git.stdout.split("\0"))
            return
    names = (path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file())
    yield from (name for name in names if not UNTRACKED.match(name))


def test_files_use_plain_words() -> None:
    names = [name for name in files(ROOT) if not SKIPPED.match(name) and (ROOT / name).is_file()]
    hits = [hit for name in names for hit in found(name, (ROOT / name).read_text(encoding="utf-8", errors="replace"))]
    assert {"README.md", "vpc", "tests/remote/test_files.py"} <= set(names)
    assert not hits, "write a plain word (a thing that can be listed, or the operator):\n" + "\n".join(hits)


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_banned_phrase_is_found_with_file_and_line(phrase: str) -> None:
    assert found("a.py", f"first\n# It {phrase.capitalize()}'s.\n") == [f"a.py:2: {phrase.capitalize()}"]
    broken, name = phrase.replace(" ", "\n    # "), phrase.replace(" ", "_")
    assert found("a.py", f"# {broken}.\n") == [f"a.py:1: {broken}"]
    assert found("a.py", f"def test_{name}_x") == [f"a.py:1: {name}"]


@pytest.mark.parametrize(
    "line", ["a restart", "the restored file", "the word has", "told apart", "everybody", "outlet gone", "the_restart"]
)
def test_other_words_are_not_found(line: str) -> None:
    assert not found("a.py", line)


def test_an_allowed_literal_is_allowed_in_its_file_only() -> None:
    for name, literal in ALLOWED:
        assert not found(name, literal) and found("a.py", literal)


def test_files_are_found_without_git(tmp_path: Path) -> None:
    for name in ("a/b.py", ".venv/lib/c.py", "d/__pycache__/e.pyc", "d/identities/f.key"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(files(tmp_path)) == ["a/b.py"]
