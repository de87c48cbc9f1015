"""Griffe extensions: what Griffe and Markdown would misread in signatures and docstrings."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


class Shapes(griffe.Extension):
    """Puts back the quotes around shapes of one axis, such as `Float[Array, "n"]`, which Griffe takes for types."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Mend the annotations of a function."""
        for annotation in (func.returns, *(parameter.annotation for parameter in func.parameters)):
            _quote_shapes(annotation)

    def on_attribute(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Mend the annotation of a field or a property."""
        _quote_shapes(attr.annotation)


class Unpacked(griffe.Extension):
    """Adds names that are defined several at a time, `ONE, OTHER = 1, 2`, which Griffe passes over."""

    def on_module_members(self, *, node: Any, mod: griffe.Module, **kwargs: Any) -> None:
        """Add them to their module."""
        for statement in ast.iter_child_nodes(node):
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    _add_missing(mod, target, statement)


class Examples(griffe.Extension):
    """Makes code blocks of doctests that stand outside of a section of examples."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Mend the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = _EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}\n```", text)


def _add_missing(module: griffe.Module, target: ast.expr, statement: ast.Assign) -> None:
    values = [statement.value]
    names = [target]
    if isinstance(target, ast.Tuple):
        names = target.elts
        listed = isinstance(statement.value, ast.Tuple) and len(statement.value.elts) == len(names)
        values = statement.value.elts if listed else [statement.value] * len(names)
    for name, value in zip(names, values, strict=True):
        if isinstance(name, ast.Name) and name.id not in module.members:
            attribute = griffe.Attribute(
                name.id,
                value=ast.unparse(value),
                lineno=statement.lineno,
                endlineno=statement.end_lineno,
            )
            attribute.labels.add("module-attribute")
            module.set_member(name.id, attribute)


def _quote_shapes(annotation: griffe.Expr | str | None) -> None:
    for array in _find_arrays(annotation):
        kind, shape = array.slice.elements
        if isinstance(shape, griffe.Expr):
            array.slice.elements = [kind, repr(str(shape))]


def _find_arrays(annotation: griffe.Expr | str | None) -> Iterator[Any]:
    """Subscripts of jaxtyping's names, such as `Float`."""
    if not isinstance(annotation, griffe.Expr):
        return
    if isinstance(annotation, griffe.ExprSubscript):
        pair = (
            isinstance(annotation.slice, griffe.ExprTuple) and len(annotation.slice.elements) == 2
        )
        if pair and annotation.left.canonical_path.startswith("jaxtyping."):
            yield annotation
    for part in annotation.iterate(flat=False):
        if part is not annotation:  # a name is its own only part
            yield from _find_arrays(part)
