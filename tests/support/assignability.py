"""Decides whether a value of one annotated type is assignable to another, as a type checker does.

Handles what the containers use: classes, unions, Protocols, callables, generic classes, type
variables. A type that it does not know is a NotComparable, never a pass.
"""

import ast
import contextlib
import dataclasses
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

Bindings = dict[Any, Any]
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# An int may be passed where a float is wanted.
_NUMBERS = {float: (int,), complex: (int, float)}


class NotComparable(Exception):
    """An annotation is missing, is Any, or is of a kind that this module does not know."""


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: Any
    type: Any
    is_optional: bool


@dataclass(frozen=True)
class Function:
    """A callable by its parameters and its result; `parameters` is None for Callable[..., X]."""

    parameters: tuple[Parameter, ...] | None
    returns: Any

    def __repr__(self) -> str:
        parameters = (
            "..."
            if self.parameters is None
            else ", ".join(f"{each.name}: {described(each.type)}" for each in self.parameters)
        )
        return f"({parameters}) -> {described(self.returns)}"


def described(type_: Any) -> str:
    if isinstance(type_, type) and not get_args(type_):
        return type_.__qualname__
    return repr(type_).replace("typing.", "").replace("collections.abc.", "")


def is_any(type_: Any) -> bool:
    return type_ is Any or type_ is inspect.Parameter.empty


def fits(given: Any, wanted: Any, bound: Bindings | None = None) -> bool:
    """Whether `given` is assignable to `wanted`. Binds type variables when it meets them."""
    bound = {} if bound is None else bound
    if is_any(given) or is_any(wanted):
        raise NotComparable(f"{described(given)} and {described(wanted)}")
    given = _without_none_value(given)
    wanted = _without_none_value(wanted)
    if wanted is object or given == wanted:
        return True
    if isinstance(wanted, TypeVar):
        return _fits_variable(given, wanted, bound)
    if isinstance(given, TypeVar):
        return _fits_variable(wanted, given, bound)
    if get_origin(given) is Literal:
        return given == wanted or all(fits(type(value), wanted, bound) for value in get_args(given))
    if _is_union(given):
        return all(fits(each, wanted, bound) for each in get_args(given))
    if _is_union(wanted):
        return _fits_one_of(given, get_args(wanted), bound)
    wanted_function = _as_callable(wanted)
    if wanted_function:
        given_function = function_of(given)
        return given_function is not None and _function_fits(given_function, wanted_function, bound)
    if get_origin(wanted) is type or wanted is type:
        return get_origin(given) is type and (
            not get_args(wanted) or fits(get_args(given)[0], get_args(wanted)[0], bound)
        )
    return _class_fits(given, wanted, bound)


def substituted(type_: Any, bound: Bindings) -> Any:
    """The type with its type variables replaced by what they are bound to."""
    if isinstance(type_, TypeVar):
        return bound.get(type_, type_)
    if isinstance(type_, Function):
        parameters = type_.parameters and tuple(
            dataclasses.replace(each, type=substituted(each.type, bound))
            for each in type_.parameters
        )
        return Function(parameters, substituted(type_.returns, bound))
    if _is_union(type_):
        return Union[tuple(substituted(each, bound) for each in get_args(type_))]  # noqa: UP007
    if _is_callable_form(type_):
        function = _as_callable(type_)
        assert function
        if isinstance(get_args(type_)[0], ParamSpec):
            known = bound.get(get_args(type_)[0])
            function = Function(known, function.returns)
        return substituted(function, bound)
    arguments = get_args(type_)
    if not arguments or not getattr(type_, "__parameters__", ()):
        return type_
    return get_origin(type_)[tuple(substituted(each, bound) for each in arguments)]


def function_of(type_: Any) -> Function | None:
    """How values of this type are called; None if they are not."""
    if isinstance(type_, Function):
        return type_
    if _is_callable_form(type_):
        return _as_callable(type_)
    if get_origin(type_) is type:
        return constructor(get_args(type_)[0])
    return member(type_, "__call__") if _has_member(type_, "__call__") else None


def member(type_: Any, name: str) -> Any:
    """The type of an attribute, property or method of values of this type."""
    origin = get_origin(type_) or type_
    bound = dict(zip(getattr(origin, "__parameters__", ()), get_args(type_), strict=False))
    for class_ in origin.__mro__:
        if name in class_.__dict__:
            found = class_.__dict__[name]
            if isinstance(found, property):
                return substituted(hints_of(found.fget).get("return", Any), bound)
            if isinstance(found, staticmethod):
                return signature_of(found.__func__)
            if isinstance(found, classmethod):
                return signature_of(found.__func__, skip_first=True)
            if callable(found) and not isinstance(found, type):
                return substituted(signature_of(found, skip_first=True), bound)
        if name in inspect.get_annotations(class_):
            return substituted(class_hints(class_)[name], bound)
    raise NotComparable(f"{described(type_)} has no attribute {name!r} with an annotation")


def signature_of(function: Callable[..., Any], *, skip_first: bool = False) -> Function:
    hints = hints_of(function)
    parameters = _parameters_of(function)[int(skip_first) :]
    returns = hints.get("return", Any)
    if _is_context_manager(function):
        returns = contextlib.AbstractContextManager[get_args(returns)[0]]  # type: ignore[misc]
    return Function(_with_hints(parameters, hints), returns)


def _parameters_of(function: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        raise NotComparable(f"{function.__qualname__} has no signature") from None


def _is_context_manager(function: Any) -> bool:
    """Whether @contextmanager wraps a generator function, whose annotation is Iterator[…]."""
    return (
        hasattr(function, "__wrapped__")
        and function.__code__.co_filename == contextlib.contextmanager.__code__.co_filename
    )


def constructor(class_: Any) -> Function:
    origin = get_origin(class_) or class_
    parameters = _parameters_of(origin)
    if hasattr(origin, "__dataclass_fields__") and "__init__" in origin.__dict__:
        hints = class_hints(origin)
    else:
        hints = hints_of(origin.__init__) if origin.__init__ is not object.__init__ else {}
    generic = getattr(origin, "__parameters__", ())
    return Function(_with_hints(parameters, hints), origin[generic] if generic else origin)


def class_hints(class_: type) -> Mapping[str, Any]:
    """The annotations of a class and of its bases."""
    hints: dict[str, Any] = {}
    for base in reversed(class_.__mro__):
        annotations = inspect.get_annotations(base)
        namespace = names_in(base.__module__)
        hints |= resolved(annotations, namespace, base.__qualname__)
    return hints


def resolved(annotations: Mapping[str, Any], namespace: Mapping[str, Any], owner: str) -> Any:
    """Annotations with their names looked up, also those in quotes."""
    holder = types.SimpleNamespace(__annotations__=dict(annotations))
    try:
        return get_type_hints(holder, globalns=dict(namespace))
    except NameError as error:
        raise NotComparable(f"an annotation of {owner}: {error}") from None


def hints_of(function: Any) -> Mapping[str, Any]:
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType):
        return {}
    namespace = {**names_in(function.__module__), **function.__globals__}
    return typing.cast(
        "Mapping[str, Any]",
        resolved(function.__annotations__, namespace, function.__qualname__),
    )


@cache
def names_in(module_name: str) -> Mapping[str, Any]:
    """A module's names, including those that it imports only for the type checker."""
    module = sys.modules[module_name]
    names: dict[str, Any] = dict(vars(module))
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return names
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                names |= _imported(statement)
    return names


def _imported(statement: ast.stmt) -> Iterator[tuple[str, Any]]:
    if isinstance(statement, ast.ImportFrom) and statement.module:
        module = importlib.import_module(statement.module)
        for alias in statement.names:
            yield alias.asname or alias.name, getattr(module, alias.name)


def _with_hints(
    parameters: list[inspect.Parameter], hints: Mapping[str, Any]
) -> tuple[Parameter, ...]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(
        Parameter(
            each.name,
            each.kind,
            hints.get(each.name, Any),
            each.default is not inspect.Parameter.empty or each.kind in variadic,
        )
        for each in parameters
    )


def _without_none_value(type_: Any) -> Any:
    return type(None) if type_ is None else type_


def _is_union(type_: Any) -> bool:
    return get_origin(type_) in (Union, types.UnionType)


def _is_protocol(class_: Any) -> bool:
    return bool(getattr(class_, "_is_protocol", False))


def _is_callable_form(type_: Any) -> bool:
    return get_origin(type_) is Callable


def _has_member(type_: Any, name: str) -> bool:
    origin = get_origin(type_) or type_
    return isinstance(origin, type) and any(name in each.__dict__ for each in origin.__mro__)


def _as_callable(type_: Any) -> Function | None:
    """Callable[…] or a Function as a Function; None for anything else."""
    if isinstance(type_, Function):
        return type_
    if not _is_callable_form(type_):
        return None
    parameters, returns = get_args(type_)
    if parameters is Ellipsis or isinstance(parameters, ParamSpec):
        return Function(None, returns)
    return Function(
        tuple(
            Parameter(f"_{i}", inspect.Parameter.POSITIONAL_ONLY, each, is_optional=False)
            for i, each in enumerate(parameters)
        ),
        returns,
    )


def _fits_variable(given: Any, variable: TypeVar, bound: Bindings) -> bool:
    if variable in bound:
        known = bound[variable]
        return fits(given, known) or fits(known, given)
    if variable.__bound__ is not None and not fits(given, variable.__bound__):
        return False
    bound[variable] = given
    return True


def _fits_one_of(given: Any, wanted: tuple[Any, ...], bound: Bindings) -> bool:
    # A type variable accepts what no other member of the union accepts.
    for each in sorted(wanted, key=lambda member: isinstance(member, TypeVar)):
        tried = dict(bound)
        if fits(given, each, tried):
            bound.update(tried)
            return True
    return False


def _function_fits(given: Function, wanted: Function, bound: Bindings) -> bool:
    if given.parameters is None or wanted.parameters is None:
        return fits(given.returns, wanted.returns, bound)
    left = list(given.parameters)
    for parameter in wanted.parameters:
        if parameter.kind in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        ):
            continue
        taken = _parameter_for(parameter, left)
        if taken is None or not fits(parameter.type, taken.type, bound):
            return False
        if taken.kind is not inspect.Parameter.VAR_POSITIONAL:
            left.remove(taken)
        if parameter.is_optional and not taken.is_optional:
            return False
    if not all(each.is_optional for each in left):
        return False
    return fits(given.returns, wanted.returns, bound)


def _parameter_for(wanted: Parameter, left: list[Parameter]) -> Parameter | None:
    if wanted.kind is inspect.Parameter.KEYWORD_ONLY:
        named = [each for each in left if each.name == wanted.name]
        return named[0] if named else None
    first = left[0] if left else None
    if first is None or first.kind is inspect.Parameter.VAR_POSITIONAL:
        return first
    if first.kind not in _POSITIONAL:
        return None
    is_named = wanted.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    return None if is_named and first.name != wanted.name else first


def _class_fits(given: Any, wanted: Any, bound: Bindings) -> bool:
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    if not isinstance(wanted_class, type):
        raise NotComparable(described(wanted))
    if isinstance(given, Function) or get_origin(given) is type or _is_callable_form(given):
        return _is_protocol(wanted_class) and _protocol_fits(given, wanted, bound)
    if not isinstance(given_class, type):
        raise NotComparable(described(given))
    if given_class in _NUMBERS.get(wanted_class, ()):
        return True
    if _is_protocol(wanted_class) and wanted_class not in given_class.__mro__:
        return _protocol_fits(given, wanted, bound)
    is_inherited = wanted_class in given_class.__mro__
    if not is_inherited and not (
        # For these interfaces of the standard library, classes are registered instead of derived.
        wanted_class.__module__ == "collections.abc" and issubclass(given_class, wanted_class)
    ):
        return False
    return _arguments_fit(given, wanted, bound)


def _arguments_fit(given: Any, wanted: Any, bound: Bindings) -> bool:
    """Compares the arguments of generic classes, all taken to be covariant."""
    wanted_arguments = get_args(wanted)
    if not wanted_arguments:
        return True
    given_class = get_origin(given) or given
    given_arguments = get_args(given)
    if given_class is tuple:
        items = [each for each in given_arguments if each is not Ellipsis]
        if get_origin(wanted) is not tuple or Ellipsis in wanted_arguments:
            return all(fits(each, wanted_arguments[0], bound) for each in items)
    if not given_arguments:
        inherited = [
            base
            for base in getattr(given_class, "__orig_bases__", ())
            if issubclass(get_origin(base) or base, get_origin(wanted))
        ]
        if not inherited:
            raise NotComparable(f"{described(given)} has no type arguments")
        return fits(inherited[0], wanted, bound)
    if len(given_arguments) != len(wanted_arguments):
        raise NotComparable(f"{described(given)} and {described(wanted)}")
    return all(map(lambda one, other: fits(one, other, bound), given_arguments, wanted_arguments))


def _protocol_fits(given: Any, protocol: Any, bound: Bindings) -> bool:
    for name in _protocol_members(get_origin(protocol) or protocol):
        wanted = member(protocol, name)
        if name == "__call__":
            actual: Any = function_of(given)
            if actual is None:
                return False
        elif _has_attribute(given, name):
            actual = member(given, name)
        else:
            return False
        if not fits(actual, wanted, bound):
            return False
    return True


def _has_attribute(type_: Any, name: str) -> bool:
    origin = get_origin(type_) or type_
    return isinstance(origin, type) and any(
        name in each.__dict__ or name in inspect.get_annotations(each) for each in origin.__mro__
    )


def _protocol_members(protocol: type) -> Iterator[str]:
    for class_ in protocol.__mro__:
        if _is_protocol(class_):
            names = {*class_.__dict__, *inspect.get_annotations(class_)}
            yield from sorted(
                name for name in names if name == "__call__" or not name.startswith("_")
            )
