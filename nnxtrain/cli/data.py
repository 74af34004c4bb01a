"""``nnxtrain data list`` and ``nnxtrain data prepare``."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, flag, rest
from nnxtrain.cli.packages import open_packages
from nnxtrain.cli.table import print_table
from nnxtrain.errors import InputError, nearest


@dataclass(frozen=True)
class DataList(Command):
    """List the data sets that `nnxtrain fit data=NAME` knows.

    examples:
      nnxtrain data list
    """

    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")

    def __call__(self) -> int:
        from nnxtrain.config.tree import describe, list_options, search_dirs, setting
        from nnxtrain.data.registry import known_sets

        prepared = {row.name: row.prepared for row in known_sets()}
        dirs = search_dirs(self.config_dir)
        rows = []
        for option in list_options("data", self.config_dir):
            # An option may be part of a set (cifar5 of cifar10); a user's may be none of ours.
            source = setting(f"data/{option}", "name", dirs)
            folder = prepared.get(source)
            state = "prepared" if folder else "not prepared" if source in prepared else ""
            rows.append((option, state, describe(f"data/{option}", self.config_dir)))
        print_table(["data set", "here", "what it is"], rows)
        return 0


@dataclass(frozen=True)
class DataPrepare(Command):
    """Download a data set if it needs that, and bring it into the form that training reads.

    examples:
      nnxtrain data prepare shapes5
      nnxtrain data prepare fashion_mnist data.local_dir=/usr/share/datasets/fashion-mnist
    """

    arguments: tuple[str, ...] = rest(
        "the data set's name, then data.key=value", metavar="NAME [OVERRIDE]"
    )
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain.config import check, compose_with_origins, list_options, resolve

        open_packages(self.package)
        known = list_options("data", self.config_dir)
        names = [text for text in self.arguments if "=" not in text]
        overrides = [text for text in self.arguments if "=" in text]
        if len(names) != 1:
            given = f"got {' '.join(names)}" if names else "none given"
            raise InputError(f"data prepare: name one data set ({', '.join(known)}), {given}")
        if names[0] not in known:
            hint = nearest(names[0], known) or f" (known: {', '.join(known)})"
            raise InputError(f"data prepare: no data set {names[0]!r}{hint}")
        composition = compose_with_origins([f"data={names[0]}", *overrides], self.config_dir)
        check(composition.config, packages=self.package, where=composition.where, nodes=("data",))
        dataset = resolve(composition.config.data, packages=self.package)
        if not hasattr(dataset, "prepare"):
            dataset.load()
            print(f"{names[0]}: read as it is, and it fits; there is nothing to prepare")
            return 0
        print(f"prepared: {dataset.prepare()}")
        return 0
