"""``nnxtrain summary``: the layers of a model."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, argument, flag, rest
from nnxtrain.cli.packages import open_packages
from nnxtrain.cli.whole_number import whole_number
from nnxtrain.errors import InputError


@dataclass(frozen=True)
class Summary(Command):
    """Print the layers of a model: shapes in and out, parameters, sizes; nothing is computed.

    Of the model that `nnxtrain fit` would train with the same overrides, or that a run has trained.
    The table is as wide as the terminal, and a list where that is too narrow.

    examples:
      nnxtrain summary config=lenet_cifar5
      nnxtrain summary model=resnet18 depth=2 --flops batch=1
      nnxtrain summary run=runs/DIR
    """

    overrides: tuple[str, ...] = rest("key=value or group=option, as for fit", metavar="OVERRIDE")
    run: str | None = argument("a run directory, in place of overrides", metavar="DIR")
    depth: str | None = argument("modules at most so many steps deep (default: all)", metavar="N")
    batch: str | None = argument("examples in the batch (default: as in training)", metavar="N")
    flops: bool = flag("add the floating-point operations of each call on the batch")
    config_dir: tuple[str, ...] = flag("look here first; repeatable", (), metavar="DIR")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api

        depth = None if self.depth is None else whole_number("depth", self.depth, 0)
        batch = None if self.batch is None else whole_number("batch", self.batch, 1)
        if self.run is not None and self.overrides:
            raise InputError(
                f"summary: run={self.run} has its own configuration; leave out {self.overrides[0]}"
            )
        open_packages(self.package)
        data = None
        if self.run is None:
            config = api.checked(self.overrides, config_dirs=self.config_dir, packages=self.package)
        else:
            from nnxtrain.config.saved import load
            from nnxtrain.training.data_card import DataCard
            from nnxtrain.training.run_directory import RunDirectory

            directory = RunDirectory.open(self.run)
            config = load(directory.config_path)
            data = DataCard.read(directory.data_path, packages=self.package)
        from nnxtrain.training.layers_table import layers_table
        from nnxtrain.training.session import Session

        session = Session.open(config, packages=self.package, data=data)
        size = batch or config.trainer.batch_size
        print(layers_table(session, batch_size=size, depth=depth, flops=self.flops).rstrip())
        return 0
