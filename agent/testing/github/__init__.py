"""A GitHub on loopback: the REST calls that publishing makes, real git over smart HTTP, Pages and Actions."""

from agent.testing.github.server import FakeGitHub

__all__ = ["FakeGitHub"]
