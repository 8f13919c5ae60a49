"""The arguments of every provider fit the signature of what it builds."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Generic, Literal, Protocol, TypeVar

import pytest
from dependency_injector import containers, providers

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.ports.clock import Clock
from application.ports.store.store import Store
from application.servers.create_server import CreateServer
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.api.supervisor import make_management_container
from entrypoints.cli.container import CliContainer
from entrypoints.host.container import HostContainer
from entrypoints.settings import Secret
from entrypoints.testing import make_test_container
from tests.support.assignability import NotComparable, fits
from tests.support.wiring import override_problems, wiring_problems

# A Selector holds the branches of all modes, so each container is compared in every mode at once.


@pytest.mark.parametrize("container", [ApiContainer, HostContainer, CliContainer])
def test_every_argument_fits_its_parameter(
    container: type[containers.DeclarativeContainer],
) -> None:
    assert wiring_problems(container) == []


def test_overrides_of_the_supervisor_and_of_the_test_fixture_have_the_right_types() -> None:
    settings = ApiSettings(database_url=Secret(IN_MEMORY))

    for container in (
        make_test_container(settings, MemoryClock()),
        make_management_container(settings, "directory"),
    ):
        assert override_problems(container, ApiContainer) == []


def test_an_override_of_another_type_is_reported() -> None:
    container = ApiContainer(settings=ApiSettings(database_url=Secret(IN_MEMORY)))
    container.clock.override(providers.Object("noon"))

    assert override_problems(container, ApiContainer) == ["clock: is str, wanted Clock"]


def _make_memory_store() -> Store:
    return MemoryStore()


def _make_clock() -> Clock:
    return MemoryClock()


class Base(containers.DeclarativeContainer):
    clock: providers.Provider[Clock] = providers.Factory(_make_clock)
    store: providers.Provider[Store] = providers.Factory(_make_memory_store)


class Sound(Base):
    create_server: providers.Provider[CreateServer] = providers.Factory(
        CreateServer, store=Base.store, clock=Base.clock
    )


class Unsound(Base):
    wrong_type: providers.Provider[CreateServer] = providers.Factory(
        CreateServer, clock=Base.clock, store=42, nonsense=1
    )
    swapped: providers.Provider[CreateServer] = providers.Factory(
        CreateServer, store=Base.clock, clock=Base.store
    )
    incomplete: providers.Provider[CreateServer] = providers.Factory(CreateServer, store=Base.store)
    positional: providers.Provider[CreateServer] = providers.Factory(
        CreateServer, Base.store, Base.clock
    )


def test_a_container_whose_arguments_fit_has_no_problems() -> None:
    assert wiring_problems(Sound) == []


def test_a_wrong_type_an_unknown_name_a_swap_and_a_missing_argument_are_reported() -> None:
    assert wiring_problems(Unsound) == [
        "wrong_type = CreateServer(store): is int, wanted Store",
        "wrong_type = CreateServer(nonsense): there is no such parameter",
        "swapped = CreateServer(store): is Clock, wanted Store",
        "swapped = CreateServer(clock): is Store, wanted Clock",
        "incomplete = CreateServer: clock is missing",
        "positional = CreateServer: has 2 positional argument(s)",
    ]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Paints:
    colour: Colour = Colour.RED

    def mixed(self, amount: int) -> int:
        return amount


def _paint(amount: int) -> str:
    return "." * amount


def _count(dots: str) -> int:
    return len(dots)


def _paint_anything(amount: Any) -> str:
    return str(amount)


def _paint_unannotated(amount) -> str:  # type: ignore[no-untyped-def]
    return str(amount)


class Nested(containers.DeclarativeContainer):
    paints: providers.Provider[Paints] = providers.Singleton(Paints)
    method: providers.Provider[str] = providers.Callable(
        _paint, amount=paints.provided.mixed.call(amount="much")
    )
    attribute: providers.Provider[str] = providers.Callable(_paint, amount=paints.provided.colour)
    callback: providers.Provider[str] = providers.Callable(_paint, amount=paints.provided.mixed)
    deep: providers.Provider[str] = providers.Callable(
        _paint, amount=providers.Factory(_count, dots=providers.Callable(_paint, amount="much"))
    )
    builtin: providers.Provider[int] = providers.Factory(int, "1")
    anything: providers.Provider[str] = providers.Callable(_paint_anything, amount=1)
    unannotated: providers.Provider[str] = providers.Callable(_paint_unannotated, amount=1)
    branches: providers.Provider[str] = providers.Selector(
        paints.provided.colour,
        red=providers.Callable(_paint, amount=1),
        green=providers.Object(1),
    )
    result: providers.Provider[int] = providers.Callable(_paint, amount=1)  # type: ignore[arg-type]
    items: providers.Provider[Sequence[int]] = providers.List(  # type: ignore[assignment]
        paints.provided.mixed.call(amount=1), "2"
    )
    bare = providers.Callable(_paint, amount=1)


def test_nested_providers_are_compared_and_nothing_is_skipped() -> None:
    assert wiring_problems(Nested) == [
        "method = _paint(amount) = Paints.mixed(amount): is str, wanted int",
        "attribute = _paint(amount): is Colour, wanted int",
        "callback = _paint(amount): is (amount: int) -> int, wanted int",
        "deep = _paint(amount) = _count(dots) = _paint(amount): is str, wanted int",
        "builtin: cannot be compared: int has no signature",
        "anything = _paint_anything(amount): cannot be compared: int and Any",
        "unannotated = _paint_unannotated(amount): cannot be compared: int and Any",
        "branches: has the branches ['green', 'red'], wanted ['blue', 'red']",
        "branches: is Union[str, int], wanted str",
        "result: is str, wanted int",
        "items: is list[Union[int, str]], wanted Sequence[int]",
        "bare: has no annotation Provider[…]",
    ]


T = TypeVar("T")


class Animal: ...


class Cat(Animal):
    def purr(self, times: int) -> str:
        return "purr" * times


class Purring(Protocol):
    def purr(self, times: int) -> str: ...


class PurringLong(Protocol):
    def purr(self, times: int, seconds: float) -> str: ...


class Box(Generic[T]):
    def take(self) -> T:
        raise NotImplementedError


class CatBox(Box[Cat]): ...


class TakesCat(Protocol):
    def take(self) -> Cat: ...


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Cat, Animal),
        (Cat, object),
        (Cat, Animal | None),
        (None, Animal | None),
        (int, float),
        (Literal["on"], str),
        (Cat, Purring),
        (type[Cat], type[Animal]),
        (type[Cat], Callable[[], Animal]),
        (list[Cat], Sequence[Animal]),
        (tuple[Cat, Cat], Sequence[Animal]),
        (tuple[()], Sequence[Animal]),
        (dict[str, Cat], Mapping[str, Animal]),
        (CatBox, Box[Animal]),
        (Box[Cat], TakesCat),
        (Callable[[Animal], Cat], Callable[[Cat], Animal]),
        (Callable[..., Cat], Callable[[int], Animal]),
        (list[Cat], Sequence[T]),  # type: ignore[valid-type]
    ],
)
def test_a_type_fits_a_wider_one(given: Any, wanted: Any) -> None:
    assert fits(given, wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Animal, Cat),
        (Animal | None, Animal),
        (None, Animal),
        (float, int),
        (int, str | None),
        (Animal, Purring),
        (Cat, PurringLong),
        (type[Animal], type[Cat]),
        (Cat, type[Cat]),
        (Cat, Callable[[], Cat]),
        (type[Cat], Callable[[int], Cat]),
        (list[Animal], Sequence[Cat]),
        (tuple[Cat, Animal], Sequence[Cat]),
        (dict[str, Animal], Mapping[str, Cat]),
        (CatBox, Box[int]),
        (Box[Animal], TakesCat),
        (Callable[[Cat], Cat], Callable[[Animal], Cat]),
        (Callable[[], Animal], Callable[[], Cat]),
        (Callable[[int, int], Cat], Callable[[int], Cat]),
    ],
)
def test_a_type_does_not_fit_another(given: Any, wanted: Any) -> None:
    assert not fits(given, wanted)


def test_a_type_variable_stands_for_one_type() -> None:
    pair = Callable[[T], T]

    assert fits(Callable[[Cat], Cat], pair)
    assert not fits(Callable[[Cat], int], pair)


@pytest.mark.parametrize(("given", "wanted"), [(Any, Cat), (Cat, Any), (list[Any], list[Cat])])
def test_any_is_an_error_and_not_a_match(given: Any, wanted: Any) -> None:
    with pytest.raises(NotComparable):
        fits(given, wanted)
