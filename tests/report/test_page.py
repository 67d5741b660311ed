"""The page: self-contained, with the exact numbers, the same from the same input, graceful where pieces are missing."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tightbound.report import Pictures, read_run, write_report
from tightbound.report.bounds import bounds
from tightbound.report.curves import bound_curve
from tightbound.report.exhibit import PALETTE
from tightbound.report.grids import grid, to_rgba
from tightbound.report.page import render
from tightbound.report.reconstructions import reconstruction_rows

from .runs import RESOLVED, ROW, pictures, write_run

_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "text"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("report") / "run")
    write_report(folder, pictures())
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def without_pictures(folder: Path) -> Page:
    """The words of the page; nothing is drawn."""
    return Page(render(read_run(folder), None, ()))


def test_nothing_is_fetched(folder: Path, page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (tag, name)
        assert tag not in ("script", "link", "iframe", "object", "base")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"@import|url\((?!#)", text) == []
    # The only address is the recipe's text, escaped.
    assert re.findall(r"https?://\S+", text) == ["https://example.org/&lt;paper&gt;&#39;}]"]


def test_headline_numbers_stand_exactly(page: Page) -> None:
    for text in (
        "log p(x) −97.31 ± 0.02 nats per image",
        "lower bound, K = 5,000; ± 0.25 for another test set",
        "ELBO −101.25 nats per image 3.9 ± 0.4 below log p(x)",
        "Code length 0.179 bits per dimension",
        "Reconstruction error 0.183 RMSE, pixels in 0 to 1",
        "Active 4 of 4 latent units",
        "Effective samples 41.3 of 5,000, median image",
    ):
        assert text in page.text


def test_the_summary_says_what_was_trained_and_what_the_number_is(page: Page) -> None:
    assert (
        "A VAE of 1,076,000 parameters with 4 latent units and a Bernoulli likelihood, trained for 3 epochs "
        "(300 steps) on mnist. Mean log p(x) over 4 test images: −97.31 ± 0.02 nats per image. Lower bound on log "
        "p(x), K = 5000; the weights are even enough to trust in all 4 images."
    ) in page.text


def test_details_are_there(page: Page) -> None:
    for text in ("95 % interval, Monte Carlo error, nats −97.35 to −97.27", "torch 2.13.0", "Machine Linux x86_64"):
        assert text in page.text
    assert "1 min 15 s" in page.text
    assert "name: mnist-mlp" in page.text


def test_every_picture_is_described(page: Page) -> None:
    assert len(page.all("figure")) == 19
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg["aria-label"] and svg["role"] == "img" for svg in page.all("svg"))
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = [a["href"][1:] for _, a in page.tags if a.get("href", "").startswith("#")]
    assert used
    assert set(used) <= set(identifiers)


def test_the_pictures_of_latents_have_their_sections(page: Page) -> None:
    for title in (
        "What the model does From an image to its reconstruction",
        "From the prior to a sample",
        "What the latent space holds Between four images",
        "Along one latent unit",
        "What the code carries Where images lie in the latent space",
        "Correlations of the posterior",
    ):
        assert title in page.text
    headings = [attributes["id"] for attributes in page.all("figure")]
    assert headings[:2] == ["pipeline", "pipeline_prior"]


def test_charts_follow_the_color_scheme(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    for chart in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert set(re.findall(r"#[0-9a-f]{6}\b", chart)) == set()  # every color is a variable
    style = text[text.index("<style>") : text.index("</style>")]
    light, dark = style.split("prefers-color-scheme: dark")
    for name in PALETTE:
        assert f"--chart-{name}:" in light
        assert f"--chart-{name}:" in dark


def test_the_sample_grid_has_the_pixels(page: Page) -> None:
    shown = pictures()
    source = page.all("img")[0]["src"].partition(",")[2]
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(source))))
    np.testing.assert_array_equal(pixels, grid(to_rgba(shown.samples), 8, 1))


def test_every_picture_is_also_a_file(folder: Path, page: Page) -> None:
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert names == sorted(f"{figure['id']}.png" for figure in page.all("figure"))
    for name in names:
        with Image.open(folder / "figures" / name) as image:
            assert min(image.size) >= 100
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_the_same_input_gives_the_same_bytes(folder: Path) -> None:
    def content() -> dict[str, bytes]:
        files = [folder / "report.html", *(folder / "figures").iterdir()]
        return {path.name: path.read_bytes() for path in files}

    before, settings = content(), dict(matplotlib.rcParams)
    write_report(folder, pictures())
    assert content() == before
    assert dict(matplotlib.rcParams) == settings


def test_a_run_that_was_not_evaluated_shows_its_curves(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluated=False)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert [figure["id"] for figure in page.all("figure")] == ["kl", "training", "speed"]
    assert "It has not been evaluated yet" in page.text


def test_a_run_without_validation_images(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", evaluated=False, validated=False))
    chart = bound_curve(run.metrics, run.row)
    assert chart is not None
    assert "Line chart of the ELBO during training. ELBO, training mode: last value −101.00 nats." in chart.markup
    assert "validation values" not in chart.caption


def test_a_run_before_its_first_epoch(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluated=False)
    (folder / "metrics.jsonl").unlink()
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert page.all("figure") == []
    assert "name: mnist-mlp" in page.text


def test_every_number_of_a_gray_protocol_is_labeled(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    row = {**ROW, "is_likelihood": False, "measure": "not a likelihood"}
    (folder / "evaluation.json").write_text(json.dumps([row]))
    page = without_pictures(folder)
    for text in (
        "score (not a likelihood) −97.31 ± 0.02",
        "ELBO (not a likelihood) −101.25",
        "Code length (not a likelihood) 0.179",
        "The numbers of this run are not likelihoods",
        "Rate (KL), nats per image (not a likelihood) 25.50",
        "Score (not a likelihood), nats per image −97.31 ± 0.02",
    ):
        assert text in page.text
    chart = bounds(read_run(folder))
    assert chart is not None
    assert "score (not a likelihood) (4 test images, K = 5,000) −97.31 ± 0.02 nats" in chart.markup
    assert "Estimate of log p(x)" not in page.text


@pytest.mark.parametrize("dequantized", [True, False])
def test_bits_of_a_density_of_bare_pixels_are_no_code_length(tmp_path: Path, dequantized: bool) -> None:
    folder = write_run(tmp_path / "run")
    row = {**ROW, "measure": "density", "dequantized": dequantized}
    (folder / "evaluation.json").write_text(json.dumps([row]))
    text = without_pictures(folder).text
    name = "Code length" if dequantized else "−log density (no code length)"
    assert f"{name} 0.179 bits per dimension" in text
    assert f"{name}, bits per dimension 0.1791" in text
    assert ("Code length" in text) == dequantized


def test_a_page_alone_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluated=False)
    before = sorted(folder.rglob("*"))
    out = tmp_path / "pages" / "mine.html"
    assert write_report(folder, out=out) == out
    page = Page(out.read_text(encoding="utf-8"))
    assert [figure["id"] for figure in page.all("figure")] == ["kl", "training", "speed"]
    assert "figures/" not in page.text
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("row", [{"active_units": [None], "activity": [None]}, {"images": 300, "active_units": [None]}])
def test_unknown_activity_is_left_out(tmp_path: Path, row: dict[str, object]) -> None:
    """One image, or one sample of a posterior whose mean has no closed form."""
    folder = write_run(tmp_path / "run")
    (folder / "evaluation.json").write_text(json.dumps([{**ROW, **row}]))
    page = without_pictures(folder)
    assert "latent units" not in page.text.partition("Details")[0].replace("parameters with 4 latent units", "")
    assert "Active latent units" not in page.text


def test_counts_of_one_and_of_many(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "evaluation.json").write_text(json.dumps([{**ROW, "images": 1}]))
    (folder / "resolved.json").write_text(json.dumps({**RESOLVED, "parameters": 46_700}))
    page = without_pictures(folder)
    assert "A VAE of 46,700 parameters with" in page.text
    assert "Parameters 46,700" in page.text
    assert "Mean log p(x) over 1 test image: " in page.text


def test_one_noise_scale_is_a_line_not_a_row_of_pictures() -> None:
    given = pictures()
    exhibit = reconstruction_rows(given)
    assert exhibit is not None
    assert exhibit.markup.count("Row of images: uncertainty.") == 2
    assert given.uncertainty is not None
    constant = replace(given, uncertainty=np.full_like(given.uncertainty, 0.125))
    exhibit = reconstruction_rows(constant)
    assert exhibit is not None
    assert "uncertainty" not in exhibit.markup
    assert "noise scale σ = 0.125, pixels in 0 to 1" in exhibit.caption


@pytest.mark.parametrize("shape", [(3, 70, 90), (2, 5, 4)])
def test_other_shapes(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    folder = write_run(tmp_path / "run", evaluated=False)
    shown = pictures(*shape)
    page = Page(write_report(folder, Pictures(shown.samples)).read_text(encoding="utf-8"))
    columns, kind = (4, "smooth") if shape[2] > 64 else (8, "pixels")
    (image,) = page.all("img")
    assert image["class"] == kind
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))))
    gap = max(1, shape[2] // 16)
    np.testing.assert_array_equal(pixels, grid(to_rgba(shown.samples[: columns**2]), columns, gap))


def test_words_of_the_run_are_escaped(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluated=False)
    (folder / "resolved.json").write_text(json.dumps({"recipe": {"name": "<script>alert(1)</script>"}}))
    page = without_pictures(folder)
    assert page.all("script") == []
    assert "<script>alert(1)</script>" in page.text
