from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "project"
collect_ignore = ["project"]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    """A user's project: the package ``fakes``, the tree ``conf``; an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PROJECT)
    monkeypatch.delenv("NNXTRAIN_CONFIG_PATH", raising=False)
    return PROJECT


@pytest.fixture
def tree(project) -> list[Path]:
    return [project / "conf"]
