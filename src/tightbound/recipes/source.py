"""A recipe as text: found by name or path, joined with its parents and the overrides. No torch, no pydantic.

    extends: mnist-mlp
    model: {latent_dim: 32}

Rules of joining: a mapping is joined key by key; anything else is replaced; where both name a ``kind`` and the kinds
differ, the parent's other keys of that mapping are dropped. ``description`` and ``published`` are the parent's own and
are not inherited: a published number belongs to the recipe that it was published for.

``evaluation_of_first_seed`` lists what is measured besides ``evaluation`` on the run with the recipe's own seed alone:
what costs much more than its differences between seeds are worth. A recipe with an ``evaluation`` of its own does not
inherit it, and a resolved recipe has it in ``evaluation``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tightbound.errors import RecipeError
from tightbound.registry import nearest_hint

_FOLDER = Path(__file__).parent
_NOT_INHERITED = ("name", "description", "published")
OF_FIRST_SEED = "evaluation_of_first_seed"
_FIRST_SEED = 0  # where none is given


@dataclass(frozen=True)
class Source:
    """A recipe as plain mappings, before validation."""

    name: str
    content: Mapping[str, Any]


def shipped() -> dict[str, Path]:
    """The recipes of the package, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def describe(name: str) -> str:
    """The description line of a shipped recipe; of an unreadable one, what is wrong with it."""
    try:
        return str(_parse(shipped()[name]).get("description", ""))
    except RecipeError as error:
        return f"unreadable: {error.message}"


def read_source(recipe: str | Path | Mapping[str, Any], overrides: Iterable[str | Mapping[str, Any]] = ()) -> Source:
    """Finds a recipe, resolves ``extends`` and applies ``key=value`` overrides.

    Args:
        recipe: a shipped name, the path of a YAML file, or the content itself.
        overrides: such as ``training.epochs=10``, values are YAML; or mappings of sections.

    Raises:
        RecipeError: no such recipe, bad YAML, a cycle of ``extends``, an override without ``=``.
    """
    if isinstance(recipe, Mapping):
        content = join({}, _join_parents(dict(recipe), Path(), ()))
        name = "recipe"
    else:
        path = _find(str(recipe), Path())
        content = _join_parents(_parse(path), path.parent, (path.resolve(),))
        name = path.stem
    own = dict(content)
    for override in overrides:
        content = join(content, override if isinstance(override, Mapping) else read_override(override))
    content = _with_evaluation(content, own)
    return Source(str(content.pop("name", name)), content)


def join(parent: Any, child: Any) -> Any:
    """What ``child`` says, over what ``parent`` says; see the rules at the top."""
    if isinstance(parent, str) and isinstance(child, Mapping):
        parent = {"kind": parent}
    if isinstance(child, str) and isinstance(parent, Mapping):
        child = {"kind": child}
    if not isinstance(parent, Mapping) or not isinstance(child, Mapping):
        return child
    if "kind" in parent and "kind" in child and parent["kind"] != child["kind"]:
        return dict(child)
    return {**parent, **{key: join(parent.get(key), value) for key, value in child.items()}}


def read_override(text: str) -> dict[str, Any]:
    """``training.epochs=10`` as ``{"training": {"epochs": 10}}``.

    Raises:
        RecipeError: it is not ``key=value``, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise RecipeError(f"override {text!r}; expected key=value", hint="for example training.epochs=10")
    try:
        content: Any = yaml.load(value, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise RecipeError(f"{key}: got {value!r}; expected a YAML value", hint="put text in quotes") from None
    for part in reversed(parts):
        content = {part: content}
    return content


def _with_evaluation(content: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``evaluation``, and what is of the first seed alone where that seed is trained and ``evaluation`` is its own."""
    dear = content.pop(OF_FIRST_SEED, None) or ()
    if not isinstance(dear, list | tuple):
        raise RecipeError(f"{OF_FIRST_SEED}: got {dear!r}; expected a list, as evaluation is")
    evaluation = content.get("evaluation", [{}])
    if not dear or _seed(content) != _seed(own) or evaluation != own.get("evaluation", [{}]):
        return content
    if not isinstance(evaluation, list | tuple | None):
        return content  # which is refused later
    return {**content, "evaluation": [*(evaluation or ()), *dear]}


def _seed(content: Mapping[str, Any]) -> Any:
    training = content.get("training")
    return training.get("seed", _FIRST_SEED) if isinstance(training, Mapping) else _FIRST_SEED


def _find(recipe: str, beside: Path) -> Path:
    known = shipped()
    if recipe in known:
        return known[recipe]
    path = beside / Path(recipe).expanduser()
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or "/" in recipe:
        raise RecipeError(f"no recipe file at {path}", hint=nearest_hint(path.stem, known))
    raise RecipeError(f"unknown recipe {recipe!r}; shipped: {', '.join(known)}", hint=nearest_hint(recipe, known))


def _join_parents(content: dict[str, Any], folder: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    parent_name = content.pop("extends", None)
    if parent_name is None:
        return content
    if not isinstance(parent_name, str):
        raise RecipeError(f"extends: got {parent_name!r}; expected the name or path of one recipe")
    path = _find(parent_name, folder)
    if path.resolve() in seen:
        names = " -> ".join(p.stem for p in (*seen, path))
        raise RecipeError(f"extends: recipes extend each other in a circle: {names}")
    parent = _join_parents(_parse(path), path.parent, (*seen, path.resolve()))
    dropped = (*_NOT_INHERITED, OF_FIRST_SEED) if "evaluation" in content else _NOT_INHERITED
    return join({key: value for key, value in parent.items() if key not in dropped}, content)


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = _load(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not YAML: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: got {type(content).__name__}; expected a mapping of sections")
    return content


def _load(text: str, where: str) -> Any:
    """YAML, or one line that says where it is none."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise RecipeError(f"{where}{line}: not a YAML mapping: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecipeError(f"{where} line {line}: not YAML: {error.reason}: {chr(error.character)!r}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none, say
        raise RecipeError(f"{where}: not YAML: {str(error).splitlines()[0]}") from error


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, which plain YAML drops in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1 and key != "<<"), None)
        if twice is not None:
            problem = f"the key {twice!r} is given twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)
