"""What ``nnx.display``, ``nnx.tabulate`` and ``nnx.explain_recompile`` are made of."""
