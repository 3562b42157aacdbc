"""`js:` checks on the static page: the value of simple expressions where no script can change it, else undecided."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from tree_sitter import Node as Syntax

from agent.errors import Undecided
from agent.quoting import quote
from agent.review.dom import UNDEFINED, Count, Dom, Elements
from agent.review.markup import Node
from agent.review.scripts import Script, string_value, text
from agent.review.site import Site

MAX_EXPRESSION_CHARS = 5_000
MAX_DEPTH = 60

_DOCUMENT = object()
_NAMES: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": UNDEFINED,
    "NaN": math.nan,
    "document": _DOCUMENT,
}


def truth(site: Site, expression: str) -> tuple[bool, str]:
    """Whether the expression holds in the browser, and what was seen of the page. Raises Undecided."""
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise Undecided
    root = site.tree(Script("check", expression)).root_node
    statements = [node for node in root.named_children if node.type not in ("comment", "empty_statement")]
    if root.has_error or [statement.type for statement in statements] != ["expression_statement"]:
        raise Undecided
    page = Dom(site)
    try:
        holds = _truthy(_Evaluator(page).value(statements[0].named_children[0]))
    except _Thrown as error:
        return False, str(error)
    return holds, "; ".join(dict.fromkeys(page.seen)) or "the expression is constant"


class _Thrown(Exception):
    """The expression throws in the browser: the check fails."""


class _Evaluator:
    """Values are Python's: None is null, a float a number, a Node an element. Raises Undecided, _Thrown."""

    def __init__(self, page: Dom) -> None:
        self._page = page
        self._depth = 0

    def value(self, node: Syntax) -> Any:
        self._depth += 1
        evaluate = _BY_SYNTAX.get(node.type)
        if evaluate is None or self._depth > MAX_DEPTH:
            raise Undecided
        value = evaluate(self, node)
        self._depth -= 1
        return value

    def inner(self, node: Syntax) -> Any:
        return self.value(node.named_children[0])

    def literal(self, node: Syntax) -> str:
        value = string_value(node)
        if value is None:
            raise Undecided
        return value

    def number(self, node: Syntax) -> float:
        if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text(node)):
            raise Undecided
        return float(text(node))

    def name(self, node: Syntax) -> Any:
        if text(node) not in _NAMES:
            raise Undecided
        return _NAMES[text(node)]

    def unary(self, node: Syntax) -> Any:
        sign, operand = text(_field(node, "operator")), _field(node, "argument")
        if sign == "!":
            return not _truthy(self.value(operand))
        if sign == "-":
            return -_number(self.value(operand))
        if sign == "typeof" and operand.type == "identifier" and self._page.unknown_name(text(operand)):
            return "undefined"
        raise Undecided

    def binary(self, node: Syntax) -> Any:
        sign = text(_field(node, "operator"))
        left, right = _field(node, "left"), _field(node, "right")
        if sign in ("&&", "||"):
            return self._logical(left, right, absorbing=sign == "||")
        return _compare(sign, self.value(left), self.value(right))

    def member(self, node: Syntax) -> Any:
        owner, name = self._owner(node)
        if owner is _DOCUMENT:
            return self._page.document_property(name)
        if isinstance(owner, Node):
            return self._page.property(owner, name)
        if isinstance(owner, dict):
            return owner.get(name, UNDEFINED)
        if name == "length" and isinstance(owner, str | Elements):
            return float(len(owner)) if isinstance(owner, str) else owner.length
        raise Undecided

    def call(self, node: Syntax) -> Any:
        callee = _field(node, "function")
        arguments = [self.value(argument) for argument in _field(node, "arguments").named_children]
        if text(callee) in _FUNCTIONS and arguments and arguments[1:] in ([], [10.0]):
            return _FUNCTIONS[text(callee)](arguments[0])
        if callee.type != "member_expression" or not all(isinstance(argument, str) for argument in arguments):
            raise Undecided
        return self._method(*self._owner(callee), arguments)

    def _owner(self, node: Syntax) -> tuple[Any, str]:
        """The object of `object.name`, and the name."""
        source = _field(node, "object")
        owner = self.value(source)
        if owner is None or owner is UNDEFINED:
            if node.child_by_field_name("optional_chain"):
                raise Undecided
            raise _Thrown(f"{quote(text(source))} is {'null' if owner is None else 'undefined'}: {self._page.why}")
        return owner, text(_field(node, "property"))

    def _method(self, owner: Any, name: str, words: Sequence[str]) -> Any:
        if isinstance(owner, str) and name in _STRING_METHODS and len(words) <= 1:
            return _STRING_METHODS[name](owner, *words)
        if owner is _DOCUMENT:
            return self._page.call(None, name, *words)
        if isinstance(owner, Node):
            return self._page.call(owner, name, *words)
        raise Undecided

    def _logical(self, left: Syntax, right: Syntax, *, absorbing: bool) -> Any:
        """`absorbing` is the truth of a side that decides alone, even where the other is undecided."""
        try:
            first = self.value(left)
        except Undecided as undecided:
            return self._alone(right, undecided, absorbing=absorbing)
        return first if _truthy(first) is absorbing else self.value(right)

    def _alone(self, node: Syntax, undecided: Undecided, *, absorbing: bool) -> bool:
        try:
            decides = _truthy(self.value(node)) is absorbing
        except _Thrown:
            decides = not absorbing
        if not decides:
            raise undecided
        return absorbing


def _compare(sign: str, left: Any, right: Any) -> Any:
    if sign in ("===", "!==", "==", "!="):
        return _equal(left, right, loose=len(sign) == 2) is (sign[0] == "=")
    if sign == "-":
        return _number(left) - _number(right)
    if sign not in _COMPARISONS:
        raise Undecided
    if isinstance(left, Count):
        return left.compare(_COMPARISONS[sign], _number(right))
    return _COMPARISONS[sign](_number(left), _number(right))


def _equal(left: Any, right: Any, *, loose: bool) -> bool:
    if isinstance(left, Count):
        return left.compare(operator.eq, _number(right))
    if type(left) is type(right):
        return bool(left == right)
    nothing = (left is None or left is UNDEFINED, right is None or right is UNDEFINED)
    if loose and not any(nothing):
        raise Undecided
    return loose and all(nothing)


def _truthy(value: Any) -> bool:
    if isinstance(value, Count):
        return value.compare(operator.gt, 0)
    if isinstance(value, float):
        return not (math.isnan(value) or value == 0)
    return value is not UNDEFINED and value is not None and value is not False and value != ""


def _number(value: Any) -> float:
    if isinstance(value, float):
        return value
    raise Undecided


def _parsed(pattern: str) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        match = re.match(pattern, value, re.I) if isinstance(value, str) else None
        return float(match[1]) if match else math.nan

    return parse


def _field(node: Syntax, name: str) -> Syntax:
    return cast(Syntax, node.child_by_field_name(name))


_BY_SYNTAX: dict[str, Callable[[_Evaluator, Syntax], Any]] = {
    "parenthesized_expression": _Evaluator.inner,
    "string": _Evaluator.literal,
    "template_string": _Evaluator.literal,
    "number": _Evaluator.number,
    **dict.fromkeys(("true", "false", "null", "undefined", "identifier"), _Evaluator.name),
    "unary_expression": _Evaluator.unary,
    "binary_expression": _Evaluator.binary,
    "member_expression": _Evaluator.member,
    "call_expression": _Evaluator.call,
}
_STRING_METHODS: dict[str, Callable[..., Any]] = {
    "includes": operator.contains,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "trim": str.strip,
    "toLowerCase": str.lower,
    "toUpperCase": str.upper,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "parseFloat": _parsed(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)"),
    "parseInt": _parsed(r"\s*([+-]?[0-9]+)"),
    "Math.abs": lambda value: abs(_number(value)),
    "Boolean": _truthy,
}
