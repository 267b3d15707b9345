"""YAML text → plain data, with the line of every part.

Every scalar stays the text that was written: the model knows what each should be, so YAML need not guess.
Hence no `no` that is false, no `1:30` that is 90 and no `10.10` that is 10.1, and an error can quote what the
user sees. Data is made of `str`, `list` and `dict`, and `None` for a key without a value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from vpc_openvpn.site.problem import KeyPath, Problem, dotted, shown

Data = str | list["Data"] | dict[str, "Data"] | None

EMPTY = frozenset({"", "~", "null"})
MERGE_KEY = "<<"


@dataclass(slots=True)
class Document:
    """A parsed text. `problems` also holds what YAML allows and a site file does not: a key given twice."""

    data: Data = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse(text: str) -> Document:
    """Never raises: a text that is not YAML has no data and one problem."""
    try:
        return _composed(text)
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(error, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        why = f"holds a character that YAML does not allow: {_name(error)}"
        problem = Problem((), f"line {line}", why, "remove it")
    except RecursionError:
        problem = Problem((), "", "is nested too deep, or an alias in it contains itself")
    except (ValueError, OverflowError):  # PyYAML turns "\UFFFFFFFF" into a character without looking
        problem = Problem((), "", "is not YAML: a \\U escape in a quoted text is no character")
    return Document(problems=[problem])


def _composed(text: str) -> Document:
    document = Document()
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    if root is not None:
        document.data = _data(root, (), document)
    return document


def _data(node: yaml.Node, path: KeyPath, document: Document) -> Data:
    """The node as plain data; writes down the lines and the problems of all that is in it."""
    if path:  # the file as a whole is on no line
        document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_data(item, (*path, index), document) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return {key: _data(value, (*path, key), document) for key, value in _entries(node, path, document)}
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    return None if node.value in EMPTY and not quoted else str(node.value)


def _entries(node: yaml.MappingNode, path: KeyPath, document: Document) -> Iterator[tuple[str, yaml.Node]]:
    """A mapping's keys with their values, each key once."""
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            document.problems.append(Problem(path, f"line {line}", "has a list or a mapping for a key"))
        elif key.value == MERGE_KEY:
            document.problems.append(
                Problem((*path, MERGE_KEY), "", "merges are not read here", "write the merged keys out")
            )
        elif key.value in seen:
            document.problems.append(
                Problem(
                    (*path, key.value),
                    shown(value.value) if isinstance(value, yaml.ScalarNode) else "",
                    f"line {line} gives this key again; line {seen[key.value]} gave it first",
                    f"keep one of the two{_where(path)}",
                )
            )
        else:
            seen[key.value] = line
            document.lines[(*path, key.value)] = line
            yield key.value, value


def _where(path: KeyPath) -> str:
    return f" in {dotted(path)}" if path else ""


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem((), "", f"is not YAML: {error.problem or error.context}")
    lines = text.splitlines()
    written = shown(lines[mark.line].strip()) if mark.line < len(lines) else "(end of the file)"
    why = "is not YAML: " + ", ".join(filter(None, [error.context, error.problem]))
    return Problem((), f"line {mark.line + 1}, column {mark.column + 1}: {written}", why, _syntax_hint(error))


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    """What people most often did, by the words of PyYAML's complaint."""
    problem = error.problem or ""
    if "'\\t'" in problem:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "look for a line that is indented too far, or a value with `: ` in it that needs quotes"
    if "expected ',' or" in problem:
        return "look for a bracket or brace left open, here or just above, or a comma left out"
    if "expected <block end>" in problem or "could not find expected ':'" in problem:
        return "look for wrong indentation, a bracket left open or a forgotten `:`, here or just above"
    if "but found another document" in problem:
        return "remove the `---` between the two"
    return ""


def _name(error: yaml.reader.ReaderError) -> str:
    """The offending character as U+0000; PyYAML gives it as a number or as itself."""
    code = error.character if isinstance(error.character, int) else ord(error.character)
    return f"U+{code:04X}"
