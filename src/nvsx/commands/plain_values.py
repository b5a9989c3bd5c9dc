"""Takes what needs no converting as it is: an option that was not given, a text, a flag.

Typer asks pydantic to convert each value, also the many that nobody gave. To import pydantic and
build an adapter for each option is half of the processor time of a quick command.
"""

from __future__ import annotations

from typing import Any


def take_plain_values(command: Any) -> None:
    """Spare plain values of a command's parameters, and of its --help, the adapter."""
    all_params = command.get_params

    def params_that_take_plain_values(context: Any) -> Any:
        found = all_params(context)
        for parameter in found:
            if not isinstance(parameter.process_value, _PlainFirst):
                parameter.process_value = _PlainFirst(parameter, parameter.process_value)
        return found

    command.get_params = params_that_take_plain_values


class _PlainFirst:
    """A parameter's `process_value`: plain values as they are, all others as Typer does it."""

    def __init__(self, parameter: Any, convert: Any) -> None:
        self._parameter = parameter
        self._convert = convert

    def __call__(self, context: Any, value: Any) -> Any:
        parameter = self._parameter
        if not self._is_plain(value):
            return self._convert(context, value)
        return parameter.callback(context, parameter, value) if parameter.callback else value

    def _is_plain(self, value: Any) -> bool:
        """`None` is an option that was not given. A command line gives text, so that a number is
        the option's own default, and within its limits."""
        if self._parameter.nargs != 1:
            return False
        if value is None:
            return not self._parameter.required and not self._parameter.multiple
        declared = self._parameter.type_descriptor.annotation
        return type(value) is declared and declared in (str, bool, int, float)
