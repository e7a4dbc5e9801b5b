"""LightGBM: train and cv with ``loss=``, and the classifier."""

from boostloss.lightgbm._classifier import ImbalancedLGBMClassifier
from boostloss.lightgbm._training import cv, train

__all__ = ["ImbalancedLGBMClassifier", "cv", "train"]
