"""Finds arguments of a container's providers that do not fit what the providers build.

Nothing is built: providers are compared with the annotations of what they would build.
"""

import ast
import inspect
import textwrap
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from dependency_injector import containers, providers

from tests.support.assignability import (
    Function,
    NotComparable,
    constructor,
    described,
    fits,
    function_of,
    is_any,
    member,
    names_in,
    resolved,
    signature_of,
    substituted,
)

Container = type[containers.DeclarativeContainer]


def wiring_problems(container: Container) -> Sequence[str]:
    """A sentence for each argument, annotation or result that does not fit.

    Nothing is skipped: what cannot be compared is a problem, too.
    """
    return _Check(container).problems()


def override_problems(container: containers.DeclarativeContainer, of: Container) -> Sequence[str]:
    """The same for the providers that override others in a container."""
    check = _Check(of)
    for name, provider in container.providers.items():
        for override in provider.overridden:
            if not isinstance(provider, providers.Dependency):
                check.compare(name, override, check.annotations[name])
    return check.found


def annotations_of(container: Container) -> Mapping[str, Any]:
    """X for each provider that is annotated Provider[X].

    Read from the source, because dependency-injector drops X when the program runs.
    """
    found: dict[str, Any] = {}
    for class_ in reversed(container.__mro__):
        bases = class_.__mro__[1:]
        if containers.DeclarativeContainer not in bases:
            continue
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(class_))).body
        assert isinstance(definition, ast.ClassDef)
        namespace = names_in(class_.__module__)
        for statement in definition.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                annotation = statement.annotation
                if isinstance(annotation, ast.Subscript):
                    text = ast.unparse(annotation.slice)
                    name = statement.target.id
                    found |= resolved({name: text}, namespace, class_.__qualname__)
    return {name: _unquoted(type_, container) for name, type_ in found.items()}


def _unquoted(type_: Any, container: Container) -> Any:
    """An annotation such as Provider["X | None"] is a string inside of an annotation."""
    if isinstance(type_, str):
        for class_ in container.__mro__:
            try:
                return resolved({"x": type_}, names_in(class_.__module__), type_)["x"]
            except NotComparable:
                continue
    return type_


class _Check:
    def __init__(self, container: Container) -> None:
        self.container = container
        self.annotations = annotations_of(container)
        self.found: list[str] = []
        self._names = {id(provider): name for name, provider in container.providers.items()}
        self._types: dict[int, Any] = {}

    def problems(self) -> Sequence[str]:
        for name, provider in self.container.providers.items():
            if name not in self.annotations:
                self.found.append(f"{name}: has no annotation Provider[…]")
            elif isinstance(provider, providers.Dependency):
                self.compare_types(name, provider.instance_of, self.annotations[name])
            else:
                self.compare(name, provider, self.annotations[name])
        return self.found

    def compare(self, where: str, given: Any, wanted: Any) -> None:
        try:
            type_ = self._built_type(where, given, wanted)
        except NotComparable as error:
            self.found.append(f"{where}: cannot be compared: {error}")
        else:
            self.compare_types(where, type_, wanted)

    def compare_types(self, where: str, type_: Any, wanted: Any, bound: Any = None) -> None:
        try:
            if not fits(type_, wanted, bound):
                self.found.append(f"{where}: is {described(type_)}, wanted {described(wanted)}")
        except NotComparable as error:
            self.found.append(f"{where}: cannot be compared: {error}")

    def _type_of(self, where: str, given: Any) -> Any:
        """The type of an argument, which is a provider or a value."""
        name = self._names.get(id(given))
        if name is not None:
            if name not in self.annotations:
                raise NotComparable(f"{name} has no annotation")
            return self.annotations[name]
        if id(given) not in self._types:
            self._types[id(given)] = self._built_type(where, given)
        return self._types[id(given)]

    def _built_type(self, where: str, given: Any, annotation: Any = None) -> Any:
        """What a provider builds. Reports what is wrong with the arguments of the provider."""
        match given:
            case providers.Object():
                return _type_of_value(given())
            case providers.List():
                items = [self._type_of(f"{where}[{i}]", each) for i, each in enumerate(given.args)]
                return types.GenericAlias(list, (_union(items),))
            case providers.Selector():
                return self._selected_type(where, given)
            case providers.ProvidedInstance():
                return self._type_of(where, given.provides)
            case providers.AttributeGetter():
                owner = self._type_of(where, given.provides)
                return _union([member(each, str(given.name)) for each in _members(owner)])
            case providers.MethodCaller():
                return self._called_type(where, given)
            case providers.Factory() | providers.Callable() | providers.BaseSingleton():
                return self._made_type(where, given, annotation)
            case providers.Provider():
                raise NotComparable(f"{type(given).__name__} is an unknown kind of provider")
        return _type_of_value(given)

    def _selected_type(self, where: str, selector: Any) -> Any:
        selected = self._type_of(where, selector.selector)
        if get_origin(selected) is Literal:
            names = set(get_args(selected))
        elif isinstance(selected, type) and issubclass(selected, Enum):
            names = {each.value for each in selected}
        else:
            raise NotComparable(f"a Selector chooses by {described(selected)}, wanted an Enum")
        branches = selector.providers
        if names != set(branches):
            self.found.append(
                f"{where}: has the branches {sorted(branches)}, wanted {sorted(names)}"
            )
        return _union([self._type_of(f"{where}[{name}]", branches[name]) for name in branches])

    def _called_type(self, where: str, call: Any) -> Any:
        owner, name = self._type_of(where, call.provides.provides), call.provides.name
        results = []
        for each in _members(owner):
            method = function_of(member(each, name))
            if method is None:
                raise NotComparable(f"{described(each)}.{name} cannot be called")
            bound = self._bind(f"{where} = {described(each)}.{name}", method, call, {})
            results.append(substituted(method.returns, bound))
        return _union(results)

    def _made_type(self, where: str, provider: Any, annotation: Any) -> Any:
        made = provider.provides
        if isinstance(made, providers.Provider):
            if provider.args or provider.kwargs:
                raise NotComparable("arguments for an object that another provider builds")
            return self._type_of(where, made)
        function = constructor(made) if isinstance(made, type) else signature_of(made)
        bound = {}
        if annotation is not None and get_origin(annotation) is made:
            bound = dict(zip(made.__parameters__, get_args(annotation), strict=True))
        bound = self._bind(f"{where} = {made.__qualname__}", function, provider, bound)
        if is_any(function.returns):
            raise NotComparable(f"{made.__qualname__} has no annotation of its result")
        return substituted(function.returns, bound)

    def _bind(
        self, where: str, function: Function, provider: Any, bound: dict[Any, Any]
    ) -> dict[Any, Any]:
        """Compare the arguments with the parameters; returns what type variables stand for."""
        if provider.args:
            self.found.append(f"{where}: has {len(provider.args)} positional argument(s)")
            return bound
        parameters = {
            each.name: each
            for each in function.parameters or ()
            if each.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        }
        for name, given in provider.kwargs.items():
            argument = f"{where}({name})"
            if name not in parameters:
                self.found.append(f"{argument}: there is no such parameter")
                continue
            wanted = parameters.pop(name).type
            try:
                type_ = self._type_of(argument, given)
            except NotComparable as error:
                self.found.append(f"{argument}: cannot be compared: {error}")
            else:
                self.compare_types(argument, type_, wanted, bound)
        for each in parameters.values():
            if not each.is_optional:
                self.found.append(f"{where}: {each.name} is missing")
        return bound


def _members(type_: Any) -> Sequence[Any]:
    return get_args(type_) if get_origin(type_) in (Union, types.UnionType) else (type_,)


def _union(members: Sequence[Any]) -> Any:
    if not members:
        raise NotComparable("a List or a Selector is empty")
    distinct: list[Any] = []
    for each in members:
        if each not in distinct:
            distinct.append(each)
    return distinct[0] if len(distinct) == 1 else Union[tuple(distinct)]  # noqa: UP007


def _type_of_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return types.GenericAlias(tuple, tuple(_type_of_value(each) for each in value))
    if isinstance(value, type):
        return types.GenericAlias(type, (value,))
    if isinstance(value, types.FunctionType):
        return signature_of(value)
    if isinstance(value, types.BuiltinFunctionType):
        raise NotComparable(f"{value!r} has no annotations")
    return type(value)
