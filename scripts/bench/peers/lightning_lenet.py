"""LeNet with Lightning: ``Trainer.fit`` and ``Trainer.test``, its CSV logger and its checkpoints.

Batches are indexed as a whole: a sampler of batches and no collating, as PyTorch's documentation has it.

    python scripts/bench/peers/lightning_lenet.py --data DIR [--epochs 2] [--save DIR]
"""

from __future__ import annotations

import logging
import time
import warnings

import job
import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)
from torch_lenet import inputs, lenet

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", ".*does not have many workers.*")


class LitLeNet(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = lenet().to(memory_format=torch.channels_last)

    def step(self, batch, split):
        images, labels = batch
        logits = self.model(inputs(images))
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(-1) == labels).float().mean()
        self.log_dict(
            {f"{split}_loss": loss, f"{split}_accuracy": accuracy}, batch_size=len(labels)
        )
        return loss

    def training_step(self, batch, number):
        return self.step(batch, "train")

    def validation_step(self, batch, number):
        self.step(batch, "val")

    def test_step(self, batch, number):
        self.step(batch, "test")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)


class Phases(Callback):
    """Times what ``fit`` does."""

    def __init__(self, clock):
        self.clock, self.since = clock, 0.0

    def spent(self, name):
        now = time.perf_counter()
        if name:
            self.clock.spent(name, now - self.since)
        self.since = now

    def on_train_epoch_start(self, trainer, module):
        self.spent("")

    def on_validation_start(self, trainer, module):
        self.spent("train")

    def on_validation_epoch_end(self, trainer, module):
        self.spent("evaluate")

    def on_train_epoch_end(self, trainer, module):
        self.spent("save")


def loader(split, batch_size, shuffle=False):
    images, labels = split
    dataset = TensorDataset(
        torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels).long()
    )
    order = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
    return DataLoader(dataset, sampler=BatchSampler(order, batch_size, shuffle), batch_size=None)


def main():
    args = job.arguments(__doc__)
    clock = job.Job(args.save)
    with clock.phase("read"):
        splits = job.read(args.data)
        train = loader(splits["train"], args.batch_size, shuffle=True)
        validation = loader(splits["validation"], job.EVAL_BATCH)
    with clock.phase("build"):
        lightning.seed_everything(0, verbose=False)
        module = LitLeNet()
        callbacks: list[Callback] = [Phases(clock)]
        if args.save:  # one after each epoch; the best is known by its score
            saving = ModelCheckpoint(args.save, monitor="val_accuracy", mode="max", save_top_k=-1)
            callbacks.append(saving)
        trainer = lightning.Trainer(
            max_epochs=args.epochs,
            logger=CSVLogger(args.save) if args.save else False,
            log_every_n_steps=job.LOG_EVERY,
            callbacks=callbacks,
            enable_checkpointing=args.save is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    trainer.fit(module, train, validation)
    with clock.phase("test"):
        test = loader(splits["test"], job.EVAL_BATCH)
        (result,) = trainer.test(
            module, test, ckpt_path="best" if args.save else None, verbose=False
        )
    parameters = sum(p.numel() for p in module.parameters())
    clock.finish(
        images=len(train) * args.batch_size,
        parameters=parameters,
        loss=result["test_loss"],
        accuracy=result["test_accuracy"],
    )


if __name__ == "__main__":
    main()
