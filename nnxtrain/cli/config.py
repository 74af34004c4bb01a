"""``nnxtrain config show``, ``config list`` and ``config paths``."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, flag, rest
from nnxtrain.cli.packages import open_packages
from nnxtrain.cli.table import print_table
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class ConfigShow(Command):
    """Print the configuration that `nnxtrain fit` with the same overrides would run, as YAML.

    examples:
      nnxtrain config show
      nnxtrain config show config=lenet_cifar5 optim=sgd
    """

    overrides: tuple[str, ...] = rest("key=value or group=option", metavar="OVERRIDE")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain.config import check, compose_with_origins, to_yaml

        open_packages(self.package)
        composition = compose_with_origins(self.overrides, self.config_dir)
        check(composition.config, packages=self.package, where=composition.where)
        print(to_yaml(composition.config), end="")
        return 0


@dataclass(frozen=True)
class ConfigList(Command):
    """List the options of a config group; without a group, all groups with their options.

    examples:
      nnxtrain config list
      nnxtrain config list config     the recipes
    """

    group: tuple[str, ...] = rest("a config group, e.g. model", metavar="GROUP")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")

    def __call__(self) -> int:
        from nnxtrain.config.tree import config_loader, describe, groups, list_options

        if len(self.group) > 1:
            raise InputError(f"config list: one group at most, got {' '.join(self.group)}")
        if self.group:
            options = list_options(self.group[0], self.config_dir)
            rows = [(o, describe(f"{self.group[0]}/{o}", self.config_dir)) for o in options]
            print_table([self.group[0], "what it is"], rows)
            return 0
        known = groups(config_loader(self.config_dir))
        rows = [(name, "  ".join(list_options(name, self.config_dir))) for name in known]
        print_table(["group", "options"], rows)
        return 0


@dataclass(frozen=True)
class ConfigPaths(Command):
    """List where configurations are looked for, in order, and which file gives each option.

    examples:
      nnxtrain config paths
      nnxtrain config paths --config-dir mine
    """

    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")

    def __call__(self) -> int:
        from nnxtrain.config.tree import options, places, search_dirs

        rows = []
        for number, (folder, origin) in enumerate(places(self.config_dir), start=1):
            rows.append((number, folder, origin, "" if folder.is_dir() else "not there"))
        print_table(["", "folder", "named by", ""], rows)
        print()
        dirs = search_dirs(self.config_dir)
        files = []
        for group, found in options(dirs).items():
            for option, file in sorted(found.items()):
                hidden = sum((folder / group / file.name).is_file() for folder in dirs) - 1
                files.append((f"{group}={option}", file, f"hides {hidden} more" if hidden else ""))
        print_table(["option", "file", ""], files)
        return 0
