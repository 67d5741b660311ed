"""The commit that a run was made with: of this repository, of none, of another."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.tiny import TINY
from tightbound import api
from tightbound.recipes import origin

FIRST, SECOND = ({"commit": digit * 40, "changed": False} for digit in "ab")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a package in it, in place of Tightbound's own."""
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "origin.py").write_text("first")
    (tmp_path / "README").write_text("first")
    monkeypatch.setattr(origin, "_PACKAGE", package)
    monkeypatch.setattr(origin, "__file__", str(package / "origin.py"))
    monkeypatch.setattr(origin, "checkout", origin.checkout.__wrapped__)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.check_output(["git", "-C", str(folder), *who, *arguments], text=True, env=clean).strip()


def test_the_commit_and_whether_the_package_differs_from_it(repository):
    git(repository, "init", "-q")
    assert origin.checkout() is None  # in a repository, but not one of its files
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "first")
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "README").write_text("not of the package")
    assert origin.checkout() == {"commit": commit, "changed": False}
    (repository / "src" / "package" / "new.py").write_text("")
    assert origin.checkout() == {"commit": commit, "changed": True}
    (repository / "src" / "package" / "new.py").unlink()
    (repository / "src" / "package" / "origin.py").write_text("second")
    assert origin.checkout() == {"commit": commit, "changed": True}


def test_variables_of_a_hook_name_no_other_repository(repository, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    for folder in (repository, other):
        git(folder, "init", "-q")
        git(folder, "add", ".")
        git(folder, "commit", "-q", "--allow-empty", "-m", folder.name)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert origin.checkout() == {"commit": git(repository, "rev-parse", "HEAD"), "changed": False}


def test_no_repository_and_no_git_is_no_commit(repository, monkeypatch):
    assert origin.checkout() is None
    monkeypatch.setenv("PATH", "")
    assert origin.checkout() is None


def test_a_run_keeps_the_commits_that_it_was_begun_and_gone_on_with(tmp_path, monkeypatch):
    def train(commit, resume=True):
        monkeypatch.setattr("tightbound.recipes.train.checkout", lambda: commit)
        arguments = {"out": tmp_path / "run", "resume": resume, "evaluate": False, "report": False, "quiet": True}
        return api.train("digits-vae", overrides=TINY, **arguments).resolved.get("checkouts")

    assert train(FIRST, resume=False) == [FIRST]
    assert train(FIRST) == [FIRST]
    assert train(SECOND) == [FIRST, SECOND]
    path = tmp_path / "run" / "resolved.json"
    kept = json.loads(path.read_text())
    assert kept["processor"] == origin.processor()
    assert kept["processes"] == [1]
    path.write_text(json.dumps({**kept, "processes": [2]}))
    train(SECOND)
    train(SECOND)
    assert json.loads(path.read_text())["processes"] == [2, 1]
    path.write_text(json.dumps({name: value for name, value in kept.items() if name not in ("checkouts", "processes")}))
    assert train(SECOND) is None  # a run that never said so cannot say so of its beginning
    assert "processes" not in json.loads(path.read_text())


def test_the_processor_is_named_with_its_cores(monkeypatch):
    processor = origin.processor.__wrapped__
    monkeypatch.setattr(origin.os, "cpu_count", lambda: 12)
    monkeypatch.setattr(origin.torch.cuda, "is_available", lambda: False)
    assert processor() == f"{origin._processor_name()}, 12 cores"
    monkeypatch.setattr(origin.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(origin.torch.cuda, "get_device_name", lambda: "A GPU")
    assert processor().endswith(", 12 cores, A GPU")
