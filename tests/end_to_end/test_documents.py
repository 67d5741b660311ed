"""What README, CONTRIBUTING and the pages show is run, and where they link to is there, so that they stay true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.laws.laws import contract_by_quadrature
from tests.laws.subjects import small_images, small_vae
from tightbound import registry
from tightbound.evaluation import importance
from tightbound.recipes.build import build
from tightbound.recipes.components import load_components
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe

ROOT = Path(__file__).parents[2]


def blocks(document: str) -> list[str]:
    """The Python blocks of a document."""
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


def test_ten_lines_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate that they print is the one that the evaluator makes of the same images."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (130, 12, 12), dtype=np.uint8)
    np.save("images.npy", images)
    (code,) = blocks("README.md")
    names: dict[str, object] = {}
    exec(code.replace("num_samples=5000", "num_samples=50").replace("epochs=30", "epochs=2"), names)
    x = torch.from_numpy(images[:100]).unsqueeze(1).float() / 255
    again = importance(names["model"], x, 50)  # pyright: ignore[reportArgumentType]
    assert names["estimate"].log_likelihood == pytest.approx(again.log_likelihood, rel=1e-6)  # pyright: ignore
    assert len(names["images"]) == 16  # pyright: ignore[reportArgumentType]


def test_the_posterior_that_contributing_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one file, recipes know it, and it keeps the contract."""
    load_components()  # else the shipped ones would be registered in the copy alone
    monkeypatch.setattr(registry, "_components", dict(registry._components))
    (code,) = blocks("CONTRIBUTING.md")
    exec(code, {"__name__": "isotropic"})
    assert "isotropic" in registry.kinds("posterior")
    model = small_vae("isotropic", "standard_normal", "bernoulli", 2)
    base = model.posterior.base(model.encode(small_images("bernoulli")).features)
    assert base.scale is not None
    assert torch.equal(base.scale[:, 0], base.scale[:, 1])
    contract_by_quadrature(model, small_images("bernoulli"), points=(161, 201))


def pages() -> list[str]:
    """Every page that people read, as a path from the root."""
    return ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def anchors(text: str) -> set[str]:
    """What of a page can be linked to: its headings, as they are written in links, and what it marks with an id."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    written = {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
    return written | set(re.findall(r'<a id="([^"]+)">', text))


def links(page: str) -> list[str]:
    """Where a page leads within the repository; what looks like a link inside code is none."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("http")]


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page: str) -> None:
    for link in links(page):
        target, _, heading = link.partition("#")
        path = ROOT / page if not target else (ROOT / page).parent / target
        assert path.exists(), f"{page} links to {link}"
        if heading:
            assert heading in anchors(path.read_text(encoding="utf-8")), f"{page} links to {link}"


def test_every_page_is_in_the_index() -> None:
    assert {f"docs/{link}" for link in links("docs/README.md")} == set(pages()) - {
        "README.md",
        "CONTRIBUTING.md",
        "docs/README.md",
    }


def test_every_test_that_a_page_names_is_there() -> None:
    """The table of pitfalls says what enforces each answer."""
    text = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    named = re.findall(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)", text)
    assert len(named) > 20
    for test, path in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {test}"


def same_text(got: str, shown: str) -> bool:
    """Equal texts, numbers to one unit in the last place that is shown."""
    number = r"-?\d+(?:\.\d+)?"
    if re.sub(number, "#", got) != re.sub(number, "#", shown):
        return False
    pairs = zip(re.findall(number, got), re.findall(number, shown), strict=True)
    return all(abs(float(a) - float(b)) < 1.01 * 10 ** -len(b.partition(".")[2]) for a, b in pairs)


@pytest.mark.parametrize("page", [page for page in pages() if page.startswith("docs/") and blocks(page)])
def test_python_of_the_pages(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of a page run one after the other, and print what the text block behind them shows."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    text = (ROOT / page).read_text(encoding="utf-8")
    for code, shown in re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL):
        exec(code, names)
        printed = capsys.readouterr().out
        assert same_text(printed, shown), f"{page} shows\n{shown}but its code prints\n{printed}"


@pytest.mark.parametrize("page", [page for page in pages() if "```yaml" in (ROOT / page).read_text(encoding="utf-8")])
def test_recipes_of_the_pages(page: str) -> None:
    """Every block of YAML is a whole recipe; it is accepted, and builds."""
    for text in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
        recipe = load_recipe(yaml.safe_load(text))
        kind = "binary" if recipe.data.binarize != "none" else "levels"
        built = build(recipe, DataFacts((1, 28, 28), kind, 1 if kind == "binary" else 255))
        assert recipe.to_dict()["objective"] == built.recipe.to_dict()["objective"]
        assert built.measure != "not a likelihood"
