"""``nnxtrain export``: a run's model for other programs."""

from __future__ import annotations

from dataclasses import dataclass

from nnxtrain.cli.arguments import Command, argument, flag
from nnxtrain.cli.packages import open_packages
from nnxtrain.cli.whole_number import whole_number


@dataclass(frozen=True)
class Export(Command):
    """Write a run's model as a folder that JAX loads without nnxtrain: StableHLO, weights, a description.

    The program takes examples as the data has them, e.g. images as bytes, and gives logits or predictions. It is
    loaded again in a new process and compared with the model before the folder appears.

    examples:
      nnxtrain export                                     the newest run, its best checkpoint
      nnxtrain export run=runs/DIR out=digits checkpoint=last
      nnxtrain export run=runs/DIR --platforms cpu --weights separate
    """

    run: str | None = argument("a run directory (default: the newest)", metavar="DIR")
    out: str | None = argument("a folder (default: export, in the run)", metavar="DIR")
    checkpoint: str = argument("best, last or a step (default: best)", "best", metavar="WHICH")
    batch: str | None = argument("a fixed batch size (default: any)", metavar="N")
    runs_dir: str = argument("where to find the newest run (default: runs)", "runs", metavar="DIR")
    platforms: str = flag(
        "of cpu, cuda, rocm, tpu (default: cpu,cuda,tpu)", "cpu,cuda,tpu", metavar="LIST"
    )
    weights: str = flag(
        "inside the program (default), or separate: an argument of it", "inside", metavar="WHERE"
    )
    force: bool = flag("replace an earlier export")
    package: tuple[str, ...] = flag("allow _target_ to name it; repeatable", (), metavar="NAME")

    def __call__(self) -> int:
        from nnxtrain import api

        open_packages(self.package)
        found = api.export(
            self.run,
            self.out,
            checkpoint=self.checkpoint,
            platforms=[name for name in self.platforms.split(",") if name],
            weights=self.weights,
            batch=None if self.batch is None else whole_number("batch", self.batch, 1),
            overwrite=self.force,
            packages=self.package,
            runs_dir=self.runs_dir,
        )
        platforms = ", ".join(found.program.exported.platforms)
        print(f"exported step {found.step}: {found.path}")
        print(f"  {found.program.signature()}, for {platforms}")
        for name, size in found.files.items():
            print(f"  {name:<20}{size:>13,} B")
        if "weights.safetensors" not in found.files:
            print('  no weights.safetensors; pip install "nnxtrain[safetensors]" adds it')
        if found.comparison is None:
            print("not tried: none of its platforms is here")
        else:
            print(
                f"loaded again without nnxtrain: {found.comparison.examples} examples, largest difference "
                f"{found.comparison.max_difference:.1e}"
            )
        print("\nuse it:", *found.how_to_load, sep="\n  ")
        return 0
