import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_brings_the_config_tree_and_finds_it(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", str(REPOSITORY), "-w", "."]
    subprocess.run(command, check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    found = tmp_path / "site" / "nnxtrain" / "configs"
    shipped = {
        path.relative_to(REPOSITORY / "configs") for path in REPOSITORY.glob("configs/**/*.yaml")
    }
    assert {path.relative_to(found) for path in found.glob("**/*.yaml")} == shipped
    code = "from nnxtrain.config.tree import shipped_dir; print(shipped_dir())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(found)
