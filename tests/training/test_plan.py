from nnxtrain.config.schema import TrainerConfig
from nnxtrain.training.plan import Plan


def test_epochs_become_steps_and_null_means_once_an_epoch():
    plan = Plan.of(TrainerConfig(epochs=2.5), 10)
    assert (plan.total_steps, plan.eval_every, plan.checkpoint_every) == (25, 10, 10)
    assert Plan.of(TrainerConfig(epochs=0.01), 10).total_steps == 1
    assert Plan.of(TrainerConfig(steps=7, eval_every=3), 10).checkpoint_every == 3


def test_the_last_step_does_everything():
    plan = Plan.of(TrainerConfig(steps=7, eval_every=4, log_every=5, checkpoint_every=3), 10)
    steps = range(1, 8)
    assert [s for s in steps if plan.logs(s)] == [5, 7]
    assert [s for s in steps if plan.evaluates(s)] == [4, 7]
    assert [s for s in steps if plan.saves(s)] == [3, 6, 7]
    assert plan.epoch(7) == 0.7
