"""Losses by name, and as plain data."""

import numpy as np
import pytest
from sklearn.base import clone

import boostloss
from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import FittedLoss, Loss, named, names, register, registry, scalar


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a test registers is gone after it, and what other test modules registered before it."""
    shipped = {k: v for k, v in registry._TYPES.items() if v.__module__.startswith("boostloss.")}
    monkeypatch.setattr(registry, "_TYPES", shipped)


def make(label="mine", qualname=None):
    class Mine(Loss):
        name = label

        @scalar
        def value(row):
            return row.neg_log_p

        @scalar
        def slope(row):
            return row.q

    if qualname:
        Mine.__qualname__ = qualname
    return Mine


def test_names():
    assert names() == ("asymmetric", "cross_entropy", "focal", "ghm", "balanced")
    assert named("cross_entropy") == CrossEntropy()
    assert named("balanced") == CrossEntropy(class_weight="balanced")
    assert named("focal") == FocalLoss()
    assert named("ghm") == GHMLoss()
    assert named("asymmetric") == AsymmetricLoss()
    assert named(FocalLoss(3)) == FocalLoss(3)
    given = GHMLoss()
    assert named(given) is given
    # a new one each time: who changes it changes no other
    named("focal").set_params(gamma=7.0)
    assert named("focal") == FocalLoss()


def test_names_of_no_loss():
    with pytest.raises(TypeError, match="loss must be a boostloss loss"):
        named(3)
    with pytest.raises(
        ValueError,
        match="or one of 'asymmetric', 'cross_entropy', 'focal', 'ghm', 'balanced', got 'foca'",
    ):
        named("foca")
    with pytest.raises(TypeError, match="loss must be a boostloss loss"):
        named(None)


def test_a_registered_loss_is_known_by_its_name():
    Mine = register(make())
    assert named("mine") == Mine()
    assert names() == ("asymmetric", "cross_entropy", "focal", "ghm", "mine", "balanced")
    fitted = Mine(class_weight="balanced").fit([0, 0, 0, 1])
    assert fitted.to_dict() == {
        "type": "mine",
        "params": {"class_weight": [2 / 3, 2.0], "beta": 0.9999},
    }
    assert FittedLoss.from_dict(fitted.to_dict()) == fitted
    with pytest.raises(TypeError, match="loss must be a boostloss loss"):
        named(Mine.functions.slope)


def test_defined_again_as_in_a_notebook():
    first, second = register(make()), register(make())
    assert type(named("mine")) is second
    # what was made of the first still computes, but is not what the name means
    assert first().value([1], [0.0])[0] == pytest.approx(np.log(2))
    with pytest.raises(TypeError, match="only a registered loss can be saved"):
        registry.to_dict(first())
    with pytest.raises(TypeError, match=r"put @boostloss\.losses\.register before its class"):
        first().fit([0, 1]).to_dict()


@pytest.mark.parametrize("label", ["focal", "balanced", "asymmetric"])
def test_a_name_belongs_to_one_loss(label):
    with pytest.raises(
        ValueError, match=f"name must not be that of another loss, got '{label}' in Mine"
    ):
        register(make(label))
    assert named("focal") == FocalLoss()


def test_a_name_of_another_loss_of_ones_own():
    register(make())
    with pytest.raises(ValueError, match="name must not be that of another loss, got 'mine'"):
        register(make("mine", "Other"))


def test_a_class_of_the_same_name_elsewhere_is_another_one():
    """A user's FocalLoss does not take the place of the package's."""
    kind = make("focal", "FocalLoss")
    with pytest.raises(ValueError, match="name must not be that of another loss, got 'focal'"):
        register(kind)
    assert type(named("focal")) is FocalLoss


@pytest.mark.parametrize("label", [None, 3, "", ["mine"]])
def test_a_name_is_a_string(label):
    with pytest.raises(TypeError, match="name must be a string in Mine"):
        register(make(label))


def test_a_name_is_ones_own():
    class NoName(Loss):
        @scalar
        def value(row):
            return row.neg_log_p

        @scalar
        def slope(row):
            return row.q

    with pytest.raises(TypeError, match="name must be a string in NoName, got None"):
        register(NoName)


def test_what_inherits_a_name_must_have_another():
    class Special(FocalLoss):
        pass

    with pytest.raises(
        ValueError, match="name must not be that of another loss, got 'focal' in Special"
    ):
        register(Special)
    # and is not saved under its parent's
    with pytest.raises(TypeError, match="only a registered loss can be saved"):
        registry.to_dict(Special())


@pytest.mark.parametrize(
    "params", [None, ["gamma"], "gamma", {"gama": 2}, {"gamma": [[1]]}, {"gamma": "2"}]
)
@pytest.mark.parametrize("name", ["FocalLoss", "focal"])
def test_plain_parameters_that_fit_no_loss(params, name):
    with pytest.raises(ValueError, match=r"params of focal|gamma"):
        registry.from_dict({"type": name, "params": params})


def test_plain_data_of_no_loss():
    for wrong in (None, 5, {}, {"type": ["FocalLoss"]}, {"type": "Focal"}, {"type": 3}, ["FocalLoss"],
                  {"type": "balanced"}, {"type": "FrozenGHM"}):  # fmt: skip
        with pytest.raises(
            ValueError,
            match=r"loss in the file must be one of asymmetric, cross_entropy, focal, ghm \(import the module",
        ):
            registry.from_dict(wrong)


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight={0: 1, 1: 2}), FocalLoss(np.array([1.0, 2.0])),
                                  FocalLoss(np.float32(2)), GHMLoss(np.int64(5), normalize=np.bool_(True)),
                                  AsymmetricLoss(class_weight=(1, 2))], ids=repr)  # fmt: skip
def test_plain_data_and_back(loss):
    plain = registry.to_dict(loss)
    again = registry.from_dict(plain)
    assert type(again) is type(loss)
    assert registry.to_dict(again) == plain
    y, raw = [0, 1, 0, 1], [0.5, 1.0, -0.5, 2.0]
    np.testing.assert_array_equal(again.value(y, raw), loss.value(y, raw))
    assert set(map(type, plain["params"].values())) <= {int, float, str, list, bool, type(None)}


def test_former_names_of_types():
    for former, kind in (
        ("CrossEntropy", CrossEntropy),
        ("FocalLoss", FocalLoss),
        ("GHMLoss", GHMLoss),
    ):
        assert registry.from_dict({"type": former, "params": {}}) == kind()


def test_a_package_exports_what_a_loss_needs():
    for name in ("Loss", "FittedLoss", "Row", "scalar", "register", "named", "names", "TrainingRun",
                 "Workers", "ALONE"):  # fmt: skip
        assert name in boostloss.losses.__all__
        assert hasattr(boostloss.losses, name)
    assert clone(AsymmetricLoss(margin=0.1)) == AsymmetricLoss(margin=0.1)
