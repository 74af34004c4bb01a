"""LeNet in plain PyTorch: the loop of its tutorials, over tensors in memory that are indexed batch by batch.

Channels last in memory and the fused adam, both options of its documentation, are a quarter faster here than its defaults.

python scripts/bench/peers/torch_lenet.py --data DIR [--epochs 2] [--save DIR] [--compile]
"""

from __future__ import annotations

import job
import torch
from torch import nn


def lenet():
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1024, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, job.CLASSES),
    )


def inputs(images):
    return (images.float() / 255 - job.MEAN) / job.STD


@torch.inference_mode()
def evaluate(model, images, labels):
    model.eval()
    loss = hits = 0.0
    for x, y in zip(images.split(job.EVAL_BATCH), labels.split(job.EVAL_BATCH)):
        logits = model(inputs(x))
        loss += nn.functional.cross_entropy(logits, y, reduction="sum").item()
        hits += (logits.argmax(-1) == y).sum().item()
    model.train()
    return {"loss": loss / len(images), "accuracy": hits / len(images)}


def main():
    args = job.arguments(__doc__)
    clock = job.Job(args.save)
    with clock.phase("read"):
        splits = {  # channels first
            split: (
                torch.from_numpy(images).permute(0, 3, 1, 2),
                torch.from_numpy(labels).long(),
            )
            for split, (images, labels) in job.read(args.data).items()
        }
    images, labels = splits["train"]
    with clock.phase("build"):
        torch.manual_seed(0)
        net = lenet().to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
        model = torch.compile(net) if args.compile else net
    steps, step, scores = len(images) // args.batch_size, 0, []
    for epoch in range(args.epochs):
        with clock.phase("train"):
            sums, since = torch.zeros(2), step
            order = torch.randperm(len(images))[: steps * args.batch_size]
            for ids in order.split(args.batch_size):
                x, y = inputs(images[ids]), labels[ids]
                logits = model(x)
                loss = nn.functional.cross_entropy(logits, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    sums += torch.stack([loss, (logits.argmax(-1) == y).float().mean()])
                step += 1
                if step % job.LOG_EVERY == 0 or step == (epoch + 1) * steps:
                    mean_loss, accuracy = (sums / (step - since)).tolist()
                    clock.log(step, loss=mean_loss, accuracy=accuracy)
                    sums, since = torch.zeros(2), step
        with clock.phase("evaluate"):
            scores.append(evaluate(model, *splits["validation"]))
            clock.log(step, "validation", **scores[-1])
        if args.save:
            with clock.phase("save"):
                state = {"model": net.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save(state, args.save / f"{epoch}.pt")
    if args.save:
        with clock.phase("restore"):
            best = max(range(args.epochs), key=lambda epoch: scores[epoch]["accuracy"])
            net.load_state_dict(torch.load(args.save / f"{best}.pt")["model"])
    with clock.phase("test"):
        result = evaluate(model, *splits["test"])
    parameters = sum(p.numel() for p in net.parameters())
    clock.finish(images=steps * args.batch_size, parameters=parameters, **result)


if __name__ == "__main__":
    main()
