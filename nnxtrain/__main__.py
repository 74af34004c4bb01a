"""``python -m nnxtrain`` is the command ``nnxtrain``."""

from nnxtrain.cli.main import run

if __name__ == "__main__":
    run()
