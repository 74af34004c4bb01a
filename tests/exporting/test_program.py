"""What is lowered: the model families for any batch size and several platforms, and what cannot be."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from nnxtrain import nnx
from nnxtrain.config import resolve
from nnxtrain.data import Spec
from nnxtrain.errors import InputError
from nnxtrain.exporting.program import WEIGHTS, export_program, infer
from nnxtrain.exporting.reloading import compare
from nnxtrain.models import MLP, LeNet, LinearRegression, ResNet, RNNClassifier, TransformerLM, ViT
from nnxtrain.tasks import Classification, LanguageModel, Regression, SequenceClassification

RNG = np.random.default_rng(0)
ALL = ("cpu", "cuda", "rocm", "tpu")
IMAGES = Spec((8, 8, 1), "uint8", num_classes=3, mean=(0.4,), std=(0.2,))
LARGER = Spec((16, 16, 1), "uint8", num_classes=3)
NUMBERS = Spec((5,), "float32", target_names=("a", "b"), mean=(0.0,) * 5, std=(2.0,) * 5)
TOKENS = Spec((8,), "int32", num_classes=3, vocab_size=17)


def examples(spec, count=4):
    shape = (count, *spec.input_shape)
    if spec.input_dtype == "float32":
        return {"input": RNG.normal(size=shape).astype(np.float32)}
    return {"input": RNG.integers(0, spec.vocab_size or 256, shape).astype(spec.input_dtype)}


def lowered(task, model, spec, platforms=("cpu",), **options):
    model.eval()
    return export_program(task, model, examples(spec), platforms=platforms, **options)


PIXELS = "uint8[b, 8, 8, 1] -> logits float32[b, 3]"
FAMILIES = {
    "mlp": (MLP, IMAGES, {"hidden": [4], "dropout_rate": 0.5}, PIXELS),
    "lenet": (LeNet, LARGER, {}, "uint8[b, 16, 16, 1] -> logits float32[b, 3]"),
    "resnet": (ResNet, IMAGES, {"depth": 8, "width": 2}, PIXELS),
    "vit": (ViT, IMAGES, {"width": 8, "num_layers": 1, "num_heads": 2}, PIXELS),
    "lstm": (RNNClassifier, IMAGES, {"hidden_features": 4, "bidirectional": True}, PIXELS),
    "gru": (RNNClassifier, TOKENS, {"hidden_features": 4, "cell": "gru"}, "int32[b, 8] -> logits float32[b, 3]"),
    "gpt": (TransformerLM, TOKENS, {"width": 8, "num_layers": 1, "num_heads": 2}, "int32[b, l] -> logits float32[b, l, 17]"),
    "llama": (
        TransformerLM,
        TOKENS,
        {"width": 8, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "positions": "rotary",
         "norm": "rms", "mlp": "swiglu"},
        "int32[b, l] -> logits float32[b, l, 17]",
    ),
    "linear": (LinearRegression, NUMBERS, {}, "float32[b, 5] -> prediction float32[b, 2]"),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_for_any_batch_size_and_platform(family):
    model_class, spec, arguments, signature = FAMILIES[family]
    known = spec.runtime_values()
    if model_class is TransformerLM:
        known.pop("num_classes")
    known = {k: v for k, v in known.items() if k in model_class.__init__.__annotations__}
    model = model_class(**known, **arguments, rngs=nnx.Rngs(0))
    if spec is NUMBERS:
        task = Regression(spec=spec)
    else:
        task = (
            LanguageModel(spec=TOKENS)
            if model_class is TransformerLM
            else Classification(spec=spec)
        )
    program = lowered(task, model, spec, ALL)
    assert program.signature() == signature
    assert program.exported.platforms == ALL


def test_a_network_of_a_configuration():
    conv = {"_target_": "nnxtrain.nnx.Conv", "out_features": 2, "kernel_size": [3, 3]}
    pool = {"_target_": "nnxtrain.nnx.max_pool", "window_shape": [2, 2], "strides": [2, 2]}
    linear = {"_target_": "nnxtrain.nnx.Linear", "out_features": "num_classes"}
    layers = [conv, pool, "nnxtrain.models.flatten", linear]
    node = {"_target_": "nnxtrain.models.Layers", "layers": layers}
    model = resolve(node, **IMAGES.runtime_values(), rngs=nnx.Rngs(0))
    assert lowered(Classification(spec=IMAGES), model, IMAGES).signature() == PIXELS


def test_numbers_are_the_models():
    model = MLP(3, input_shape=(8, 8, 1), hidden=[], dropout_rate=0.5, rngs=nnx.Rngs(0))
    program = lowered(Classification(spec=IMAGES), model, IMAGES)
    (linear,) = model.linears
    for count in (1, 5):
        x = examples(IMAGES, count)["input"]
        standardized = ((x / 255 - 0.4) / 0.2).reshape(count, -1)
        expected = standardized @ np.asarray(linear.kernel) + np.asarray(linear.bias)
        np.testing.assert_allclose(program.exported.call(x), expected, rtol=2e-5, atol=1e-5)


def test_any_length_of_tokens_up_to_the_context():
    model = TransformerLM(17, input_shape=(8,), width=8, num_layers=1, num_heads=2, rngs=nnx.Rngs(0))  # fmt: skip
    program = lowered(LanguageModel(spec=TOKENS), model, TOKENS)
    x = examples(TOKENS, 2)["input"]
    whole, short = program.exported.call(x), program.exported.call(x[:, :3])
    np.testing.assert_allclose(short, whole[:, :3], atol=1e-5)  # a place does not see later ones
    np.testing.assert_allclose(whole, model(x), atol=1e-5)
    with pytest.raises(ValueError, match="l <= 8"):
        program.exported.call(np.zeros((2, 9), np.int32))


def test_lengths_are_an_input_where_the_data_has_them():
    spec = Spec((6, 2), "float32", num_classes=3)
    model = RNNClassifier(3, input_shape=(6, 2), hidden_features=4, rngs=nnx.Rngs(0))
    model.eval()
    task = SequenceClassification(spec=spec)
    batch = examples(spec) | {"length": np.array([6, 2, 3, 1], np.int32), "label": np.zeros(4, int)}
    program = export_program(task, model, batch, platforms=["cpu"])
    assert program.signature() == "float32[b, 6, 2], int32[b] -> logits float32[b, 3]"
    found = program.exported.call(batch["input"], batch["length"])
    changed = batch["input"].copy()
    changed[1, 2:] = 9.0  # padding
    np.testing.assert_array_equal(program.exported.call(changed, batch["length"]), found)
    expected = model(batch["input"], lengths=batch["length"])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_as_an_argument():
    model = LinearRegression(5, 2, rngs=nnx.Rngs(0))
    program = lowered(Regression(spec=NUMBERS), model, NUMBERS, separate=True)
    x = examples(NUMBERS)["input"]
    kernel, bias = np.full((5, 2), 2.0, np.float32), np.array([1.0, -1.0], np.float32)
    found = program.exported.call({"linear.kernel": kernel, "linear.bias": bias}, x)
    np.testing.assert_allclose(found, x / 2 @ kernel + bias, rtol=1e-5, atol=1e-5)


class Mixed(nnx.Module):
    """A kernel that two layers share, in bfloat16; an array that is no Variable; statistics; a random stream."""

    def __init__(self, rngs):
        self.first = nnx.Linear(5, 5, param_dtype=jnp.bfloat16, rngs=rngs)
        self.second = nnx.Linear(5, 5, rngs=rngs)
        self.second.kernel = self.first.kernel
        self.table = jnp.arange(5.0)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.dropout(self.second(self.first(x) + self.table)))[:, :2]


def test_the_file_of_weights_is_the_argument(tmp_path):
    model = Mixed(nnx.Rngs(0))
    task = Regression(spec=NUMBERS, standardize=False)
    program = lowered(task, model, NUMBERS, separate=True)
    nnx.save_safetensors(tmp_path / "weights.safetensors", model, WEIGHTS)
    weights = load_file(tmp_path / "weights.safetensors")
    assert {"first.kernel", "table", "norm.mean"} <= weights.keys()
    x = examples(NUMBERS)["input"]
    np.testing.assert_allclose(program.exported.call(weights, x), model(x), rtol=1e-5, atol=1e-6)


class ByPlatform(nnx.Module):
    """Adds 1 on a CPU and multiplies by 2 elsewhere."""

    def __call__(self, x):
        return jax.lax.platform_dependent(x[:, :2], cpu=lambda x: x + 1, default=lambda x: x * 2)


def test_layers_that_lower_by_platform():
    task = Regression(spec=NUMBERS, standardize=False)
    program = lowered(task, ByPlatform(), NUMBERS, ("cpu", "cuda"))
    x = examples(NUMBERS)["input"]
    np.testing.assert_allclose(program.exported.call(x), x[:, :2] + 1)
    elsewhere = lowered(task, ByPlatform(), NUMBERS, ("cuda",))
    assert "stablehlo.multiply" in elsewhere.exported.mlir_module()
    assert "stablehlo.add" not in elsewhere.exported.mlir_module()


def test_nothing_is_compared_where_no_platform_is_here(tmp_path):
    model = LinearRegression(5, 2, rngs=nnx.Rngs(0))
    task = Regression(spec=NUMBERS)
    program = lowered(task, model, NUMBERS, ("tpu",))
    assert compare(tmp_path, program, task, model, examples(NUMBERS), tolerance=0) is None


class CountsRows(nnx.Module):
    """Needs the batch size as a number."""

    def __call__(self, x):
        return jnp.stack([x[i, :2] for i in range(len(x))])


def test_a_model_that_needs_a_fixed_batch():
    task = Regression(spec=NUMBERS)
    with pytest.raises(InputError, match=r"every batch size \(.*\); fix one, e.g. batch=32"):
        lowered(task, CountsRows(), NUMBERS)
    program = lowered(task, CountsRows(), NUMBERS, batch=4)
    assert program.signature() == "float32[4, 5] -> prediction float32[4, 2]"


def test_a_model_that_does_not_work_says_so_itself():
    class Broken(nnx.Module):
        def __call__(self, x):
            raise ZeroDivisionError("not today")

    with pytest.raises(ZeroDivisionError, match="not today"):
        lowered(Regression(spec=NUMBERS), Broken(), NUMBERS)


def test_a_task_without_answers():
    class Embedding:
        def outputs(self, model, batch):
            return {"embedding": model(batch["input"])}

    model = LinearRegression(5, 2, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="Embedding gives neither logits nor prediction"):
        infer(Embedding(), model, examples(NUMBERS))


def test_too_large_for_one_file(monkeypatch):
    monkeypatch.setattr("nnxtrain.exporting.program.LARGEST", 47)  # bytes; it has 12 numbers
    model = LinearRegression(5, 2, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="give --weights separate"):
        lowered(Regression(spec=NUMBERS), model, NUMBERS)
    assert lowered(Regression(spec=NUMBERS), model, NUMBERS, separate=True).separate


def test_the_model_stays_as_it_is():
    model = ResNet(3, input_shape=(8, 8, 1), depth=8, width=2, rngs=nnx.Rngs(0))
    model.eval()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lowered(Classification(spec=IMAGES), model, IMAGES)
    after = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model)))
    jax.tree.map(np.testing.assert_array_equal, before, after)
