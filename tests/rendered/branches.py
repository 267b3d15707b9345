"""Which branches of which templates were taken."""

from typing import Any

import jinja2
from jinja2 import nodes

MARK = "taken_branch"


class Tracing(jinja2.Environment):
    """`original`, whose templates note each branch that they take: both arms of an `if`, with or without an `else`,
    and a `for` with at least one element. A branch is written as `TEMPLATE:LINE KIND`.
    """

    def __init__(self, original: jinja2.Environment) -> None:
        super().__init__(
            loader=original.loader,
            undefined=original.undefined,
            trim_blocks=original.trim_blocks,
            lstrip_blocks=original.lstrip_blocks,
            keep_trailing_newline=original.keep_trailing_newline,
            autoescape=original.autoescape,
        )
        self.branches: set[str] = set()
        self.taken: set[str] = set()
        self.rendered: set[str] = set()
        self.globals[MARK] = self._take

    def _take(self, branch: str, value: object = "") -> object:
        self.taken.add(branch)
        return value

    def compile(self, source: Any, name: str | None = None, *options: Any, **more: Any) -> Any:
        """The template's code, with a call of `_take` in each branch."""
        assert isinstance(source, str) and name is not None
        self.rendered.add(name)
        tree = self.parse(source, name)
        elifs = {id(node) for parent in tree.find_all(nodes.If) for node in parent.elif_}
        for node in list(tree.find_all((nodes.If, nodes.For, nodes.CondExpr))):
            if isinstance(node, nodes.For):
                node.body.insert(0, self._shown(name, node, "for"))
            elif isinstance(node, nodes.If):
                node.body.insert(0, self._shown(name, node, "if"))
                if id(node) not in elifs:
                    node.else_.insert(0, self._shown(name, node, "else"))
            elif isinstance(node, nodes.CondExpr):
                node.expr1 = self._call(name, node, "if", node.expr1)
                node.expr2 = self._call(name, node, "else", node.expr2 or nodes.Const(""))
        return super().compile(tree, name, *options, **more)

    def _shown(self, name: str, node: nodes.Node, kind: str) -> nodes.Output:
        return nodes.Output([self._call(name, node, kind)], lineno=node.lineno)

    def _call(self, name: str, node: nodes.Node, kind: str, *value: nodes.Expr) -> nodes.Call:
        branch = f"{name}:{node.lineno} {kind}"
        self.branches.add(branch)
        call = nodes.Call(nodes.Name(MARK, "load"), [nodes.Const(branch), *value], [], None, None, lineno=node.lineno)
        call.set_environment(self)
        return call
