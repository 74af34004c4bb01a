"""Where configuration files lie, and in which order they are searched.

Hydra's own entry points put a user's folder *after* the packaged one and keep their state in a
global; here a loader is built over an explicit list of folders, first match wins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnxtrain.errors import InputError, RunError, nearest

if TYPE_CHECKING:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

PRIMARY = "nnxtrain_fit"  # a name of our own: a user's file named like it would replace it
ENVIRONMENT = "NNXTRAIN_CONFIG_PATH"
LOCAL = "./configs"


def shipped_dir() -> Path:
    """Return the config tree that comes with nnxtrain: in the wheel, or beside the package."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / f"{PRIMARY}.yaml").is_file():
            return folder
    raise RunError(f"the config tree is missing from {package}; reinstall nnxtrain")


def places(config_dirs: Sequence[str | Path] = ()) -> list[tuple[Path, str]]:
    """Return every place where config folders are looked for, in order, and who names it; it need not exist."""
    environment = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
    return [
        *((Path(folder), "--config-dir") for folder in config_dirs),
        (Path("configs"), LOCAL),
        *((Path(folder), f"${ENVIRONMENT}") for folder in environment if folder),
        (shipped_dir(), "shipped"),
    ]


def options(dirs: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Return, by group, each option's file: the first of that name in ``dirs``. Reads names alone."""
    found: dict[str, dict[str, Path]] = {}
    for folder in dirs:
        for file in sorted(folder.glob("*/**/*.yaml")):
            group = file.parent.relative_to(folder).as_posix()
            if group.partition("/")[0] != "hydra":
                found.setdefault(group, {}).setdefault(file.stem, file)
    return dict(sorted(found.items()))


def search_dirs(config_dirs: Sequence[str | Path] = ()) -> list[Path]:
    """Return all config folders, absolute, first match wins.

    They are ``config_dirs``, ``./configs`` if there is one, the folders of
    ``$NNXTRAIN_CONFIG_PATH`` (separated as in ``$PATH``), and the shipped tree.

    Raises:
        InputError: a folder that was asked for does not exist.
    """
    found: list[Path] = []
    for folder, origin in places(config_dirs):
        if not folder.is_dir():
            if origin == LOCAL:
                continue
            raise InputError(f"{origin}: {folder} is not a folder")
        if (resolved := folder.resolve()) not in found:
            found.append(resolved)
    # Wherever it was found first, the shipped tree stays last: it is what the others override.
    found.remove(shipped_dir())
    return [*found, shipped_dir()]


def config_loader(config_dirs: Sequence[str | Path] = ()) -> ConfigLoaderImpl:
    """Return a Hydra config loader over ``search_dirs(config_dirs)``; it can be pickled."""
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins
    from hydra.core.utils import setup_globals

    from nnxtrain.config.schema import Config

    version.setbase("1.3")
    setup_globals()  # the resolvers that Hydra's own configs use
    Plugins.instance()  # finds the launchers, whose configs become options of hydra/launcher
    ConfigStore.instance().store("nnxtrain_schema", Config)
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    for folder in search_dirs(config_dirs):
        path.append("main", f"file://{folder}")
    path.append("schema", "structured://")  # Hydra wants this one last
    return ConfigLoaderImpl(path)


def groups(loader: ConfigLoaderImpl) -> list[str]:
    """Return the names of the config groups and of those in them, without Hydra's own."""
    outer = sorted(set(loader.list_groups("")) - {"hydra"})
    return sorted(
        [*outer, *(f"{name}/{inner}" for name in outer for inner in loader.list_groups(name))]
    )


def list_options(group: str, config_dirs: Sequence[str | Path] = ()) -> list[str]:
    """Return the sorted options of a config group, over all config folders.

    Raises:
        InputError: there is no such group.

    >>> list_options("trainer")
    ['default']
    """
    loader = config_loader(config_dirs)
    known = groups(loader)
    if group not in known and not group.startswith("hydra/"):
        raise InputError(
            f"no config group {group!r}{nearest(group, known)} (groups: {', '.join(known)})"
        )
    return sorted(loader.get_group_options(group))


def option_file(name: str, dirs: Sequence[Path]) -> Path | None:
    """Return the first file that gives ``name`` (``group/option``), or None if no folder does."""
    for folder in dirs:
        if (file := folder / f"{name}.yaml").is_file():
            return file
    return None


def setting(name: str, key: str, dirs: Sequence[Path]) -> Any:
    """Return what a configuration file (``group/option``), taken by itself, sets a key to.

    Where there is no such file or key, None; interpolations are not resolved.
    """
    from omegaconf import OmegaConf

    if (file := option_file(name, dirs)) is None:
        return None
    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        for part in key.partition("[")[0].split("."):
            found = found[part]
    except Exception:  # composing tells what is wrong with the file
        return None
    return found


def describe(name: str, config_dirs: Sequence[str | Path] = ()) -> str:
    """Return the first comment of a configuration file (``group/option``), or ``""``.

    >>> describe("optim/adam")
    'Adam (Kingma and Ba, 2015).'
    """
    file = option_file(name, search_dirs(config_dirs))
    for line in file.read_text(encoding="utf-8").splitlines() if file else ():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            return line.lstrip("# ")
    return ""
