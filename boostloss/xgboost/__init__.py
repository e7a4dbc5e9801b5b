"""XGBoost: train and cv with ``loss=``, and the classifier."""

from boostloss.xgboost._classifier import ImbalancedXGBClassifier
from boostloss.xgboost._training import cv, train

__all__ = ["ImbalancedXGBClassifier", "cv", "train"]
