"""The tree of errors: every one stands in it, and comes back from the store of the engine as itself."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import agent
from agent import errors
from agent.errors import AgentError, Transient

GIVEN: dict[str, Any] = {"status": 422, "retry_after_s": 2.5, "expected": None, "spent": {"model_calls": 1}}


def kinds(root: type[AgentError] = AgentError) -> Iterator[type[AgentError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def made(kind: type[AgentError]) -> AgentError:
    """One with every argument that it can be given."""
    own = getattr(kind.__init__, "__code__", None)
    names = own.co_varnames[1 : own.co_argcount] if own else ("message",)
    return kind(*(GIVEN.get(name, f"the {name}") for name in names))


@pytest.mark.parametrize("kind", [k for k in kinds() if k.__module__ == "agent.errors"], ids=lambda k: k.__name__)
def test_a_stored_error_comes_back_as_itself_and_stands_in_the_tree(kind: type[AgentError]) -> None:
    error = made(kind)
    back = errors.from_json(json.loads(json.dumps(errors.as_json(error))))
    assert (type(back), str(back), vars(back)) == (kind, str(error), vars(error))
    assert f" {kind.__name__} " in f"{errors.__doc__} ".replace("\n", " ")


def test_an_error_of_one_module_alone_comes_back_as_what_others_know_it_by() -> None:
    class Hung(Transient):
        """Derived where it is raised."""

    back = errors.from_json(errors.as_json(Hung("no answer", retry_after_s=3)))
    assert (type(back), str(back), getattr(back, "retry_after_s", None)) == (Transient, "no answer", 3)


def test_every_error_that_others_may_catch_is_defined_in_one_module() -> None:
    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        importlib.import_module(module.name)
    elsewhere = [k for k in kinds() if k.__module__.startswith("agent.") and k.__module__ != "agent.errors"]
    assert [kind for kind in elsewhere if not kind.__name__.startswith("_")] == []
