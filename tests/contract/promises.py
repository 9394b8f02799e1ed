"""Check a promise, unless the plug-in's file says why it cannot keep it."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

Promise = Callable[[Any], None]


def exemptions(plugin: Any) -> Mapping[str, str]:
    """{promise: reason} of the plug-in's file."""
    found: Mapping[str, str] = getattr(sys.modules[plugin.__module__], "exempt", {})
    return found


def keep(promise: Promise, plugin: Any, subject: Any = None) -> None:
    """The promise holds; or it is exempt, for a reason, and really does not hold.

    `subject` is what is checked when it is not the plug-in itself but something made of it.
    """
    subject = plugin if subject is None else subject
    reason = exemptions(plugin).get(promise.__name__)
    if reason is None:
        promise(subject)
        return
    assert reason.strip(), f"say why {promise.__name__} cannot be kept"
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        promise(subject)
