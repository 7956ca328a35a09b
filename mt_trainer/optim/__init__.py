"""AdamW, the learning rate as a function of the step, and the moving average of the weights."""

from mt_trainer.optim.ema import ExponentialMovingAverage
from mt_trainer.optim.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors
from mt_trainer.optim.schedules import Schedule, build_schedule

__all__ = [
    "ExponentialMovingAverage",
    "Schedule",
    "build_optimizer",
    "build_schedule",
    "load_optimizer_tensors",
    "optimizer_tensors",
]
