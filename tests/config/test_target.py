import pytest

from nnxtrain.config.target import locate
from nnxtrain.errors import InputError


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("os.system", "outside the allowed"),
        ("builtins.open", "outside the allowed"),
        ("builtins.eval", "outside the allowed"),
        ("subprocess.Popen", "outside the allowed"),
        ("pathlib.Path.write_text", "outside the allowed"),
        ("nnxtrain.config.saved.save", "outside the allowed"),
        ("nnxtrain.config.tree.os.system", "outside the allowed"),
        ("nnxtrain.cli.main.os.system", "outside the allowed"),
        ("nnxtrain.api.importlib.import_module", "outside the allowed"),
        ("nnxtrain.modelsx.LeNet", "outside the allowed"),
        ("jax.numpy.save", "outside the allowed"),
        ("optax", "outside the allowed"),
        ("fakes.os.system", "leads to os"),
        ("fakes.pathlib.Path", "leads to pathlib"),
        ("fakes.Path", "defined in pathlib"),
        ("fakes.Path.write_text", "defined in pathlib"),
        ("fakes.system", "defined in posix"),
        ("fakes.write_text", "defined in pathlib"),
        ("fakes.partial", "defined in functools"),
        ("fakes.built.append", "outside the allowed"),
        ("fakes.Model.__init__", "private"),
        ("fakes.anything.__globals__", "private"),
        ("optax._src.alias.adam", "private"),
        ("fakes.CONSTANT", "outside the allowed|not a class or a function"),
        ("fakes.Modell", "did you mean 'Model'"),
        ("fakes.nowhere.Model", "fakes has no 'nowhere'"),
        ("fakes..Model", "not a dotted name"),
        ("fakes.Model()", "not a dotted name"),
        ("", "expected a dotted name"),
        (None, "expected a dotted name"),
        (["fakes.Model"], "expected a dotted name"),
    ],
)
def test_refused(path, reason):
    with pytest.raises(InputError, match=reason) as caught:
        locate(path, packages=["fakes"])
    assert "\n" not in str(caught.value)


def test_a_package_must_be_named():
    with pytest.raises(InputError, match="--package"):
        locate("fakes.Model")
    assert locate("fakes.Model", ["fakes"]).__name__ == "Model"


def test_a_misspelt_package_of_ours_gets_the_nearest():
    with pytest.raises(InputError, match=r"did you mean 'nnxtrain\.models'"):
        locate("nnxtrain.modles.LeNet")


@pytest.mark.parametrize(
    "path", ["optax.adam", "optax.nadam", "optax.contrib.muon", "jax.nn.relu", "jax.nn.tanh"]
)
def test_allowed(path):
    assert callable(locate(path))


def test_submodules_are_imported(tmp_path, monkeypatch):
    package = tmp_path / "deep"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner" / "__init__.py").touch()
    (package / "inner" / "leaf.py").write_text("def build(): return 7\n")
    (package / "broken.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("deep.inner.leaf.build", ["deep"])() == 7
    with pytest.raises(InputError, match=r"cannot import .*not_installed_anywhere"):
        locate("deep.broken.thing", ["deep"])


@pytest.mark.parametrize(
    ("path", "name"), [("mine.Net", "mine"), ("os.system", "NAME"), ("jax.numpy.save", "NAME")]
)
def test_a_package_of_the_users_own_is_named_in_the_advice(path, name):
    with pytest.raises(InputError, match=f"add --package {name}$"):
        locate(path)
