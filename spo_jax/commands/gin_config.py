"""gin: which names a config file may bind, and errors that name the nearest one.

Objects are registered under their own names; a config passes objects, never names of objects:
`train.objective = @SoftPolicyOptimization()`. The library itself never imports gin.
"""

import argparse
import inspect
import re
import sys
import tokenize
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gin

from spo_jax.errors import UserError, nearest

_PREFIX = "--gin."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --gin_file; `--gin.NAME=VALUE` is taken by `take_bindings`."""
    parser.add_argument(
        "--gin_file",
        action="append",
        default=[],
        metavar="FILE",
        help="a config file; may be given several times, later files win",
    )
    parser.add_argument(
        f"{_PREFIX}NAME=VALUE",
        dest="gin_bindings",
        action="store_const",
        const=[],
        default=[],
        help="one binding, for example --gin.train.num_updates=10; stronger than the files",
    )


def take_bindings(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    """Moves `--gin.NAME=VALUE` from `unknown` to `args.gin_bindings`; returns what is left."""
    rest = []
    bindings = []
    for word in unknown:
        if not word.startswith(_PREFIX):
            rest.append(word)
            continue
        name, equals, value = word[len(_PREFIX) :].partition("=")
        if not equals:
            raise UserError(f"'{word}' must be written {_PREFIX}NAME=VALUE")
        bindings.append(f"{name} = {_quoted(value)}")
    args.gin_bindings = bindings
    return rest


def configured_arguments(
    function: Callable[..., Any],
    objects: Sequence[Callable[..., Any]],
    files: Sequence[str],
    bindings: Sequence[str],
) -> dict[str, Any]:
    """Reads files, then bindings, and builds the keyword arguments they give to `function`.

    The function itself is called by the caller, outside of gin: its errors stay its own.

    Args:
      function: what is configured.
      objects: classes that a config may construct, under their own names.
      files: config files, later ones win. bindings: lines such as `f.x = 1`, stronger still.

    Raises:
      UserError: for a missing file, a name that does not exist, or a value that gin cannot read.
    """
    gin.clear_config(clear_constants=True)
    collect = _register(function, _collector(function))
    for obj in objects:
        _register(obj, obj)
    known = [
        f"{each.__name__}.{parameter}"
        for each in (function, *objects)
        for parameter in inspect.signature(each).parameters
    ]
    for file in files:
        _check_exists(file)
    try:
        gin.parse_config_files_and_bindings(list(files), list(bindings))
        arguments = collect()
        _note_unused()
        return arguments
    except UserError as error:  # of an object's own checks; gin adds lines of its own
        raise UserError(str(error).partition("\n  In call to configurable")[0]) from None
    except (ValueError, SyntaxError, OSError, TypeError, tokenize.TokenError) as error:
        raise _explained(error, known) from None


def _note_unused() -> None:
    """One line about objects that were given values and are not part of the run."""
    bound, used = _objects_in(gin.config_str()), _objects_in(gin.operative_config_str())
    if unused := sorted(bound - used):
        print(f"note: set but not used by this run: {', '.join(unused)}", file=sys.stderr)


def _objects_in(config: str) -> set[str]:
    return set(re.findall(r"^(?:[\w/]+\.)*?(\w+)\.\w+ =", config, flags=re.MULTILINE))


def resolved_config() -> str:
    """All values in force, defaults of the objects used so far included."""
    return gin.operative_config_str()


_registered: dict[Callable[..., Any], Callable[..., Any]] = {}


def _register(named: Callable[..., Any], obj: Callable[..., Any]) -> Callable[..., Any]:
    """Registers `obj` under the name of `named`, once: gin's registry is global."""
    if named not in _registered:
        with gin.unlock_config():
            _registered[named] = gin.external_configurable(obj, name=named.__name__)
    return _registered[named]


def _collector(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the keyword arguments of `function`, all optional, that returns them."""

    def collect(**arguments: Any) -> dict[str, Any]:
        return arguments

    signature = inspect.signature(function)
    keywords = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    collect.__signature__ = signature.replace(parameters=keywords)  # type: ignore[attr-defined]
    collect.__name__ = function.__name__
    return collect


def _quoted(value: str) -> str:
    """A bare word on the command line is a string: --gin.load_policy.path=smollm2."""
    if re.fullmatch(r"[A-Za-z_./~][\w./:~-]*", value) and value not in ("True", "False", "None"):
        return repr(value)
    return value


def _check_exists(file: str) -> None:
    if Path(file).is_file():
        return
    folder = Path(file).parent
    siblings = [str(path) for path in folder.glob("*.gin")] if folder.is_dir() else []
    raise UserError(f"config file '{file}' does not exist{nearest(file, siblings)}")


def _explained(error: Exception, known: Sequence[str]) -> UserError:
    text = str(error)
    names = sorted({name.partition(".")[0] for name in known})
    unknown_object = re.search(r"No configurable matching (?:reference )?'?@?([\w./]+)", text)
    unknown_parameter = re.search(
        r"onfigurable '([\w./]+)' doesn't have a parameter named '(\w+)'", text
    )
    if unknown_parameter:
        obj, parameter = unknown_parameter.groups()
        name = f"{obj.rpartition('.')[2]}.{parameter}"
        return UserError(f"config: there is no '{name}'{nearest(name, known)}{_place(text)}")
    if unknown_object:
        name = unknown_object.group(1)
        return UserError(f"config: there is no '{name}'{nearest(name, names)}{_place(text)}")
    return UserError(f"config: {' '.join(text.split())}")


def _place(text: str) -> str:
    place = re.search(r'In file "([^"]+)", line (\d+)', text)
    return f" ({place.group(1)}, line {place.group(2)})" if place else ""
