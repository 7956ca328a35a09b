"""Where two files that should have equally many lines begin to be shifted against each other."""

import numpy as np


def first_suspicious_line(src_lengths: np.ndarray, tgt_lengths: np.ndarray) -> int:
    """Index of the line from which two files of different length are best explained as shifted against each other.

    Up to that line i faces i, from there on line i of the shorter faces i + shift of the longer file; of all change
    points the one with the smallest sum of |log length difference| is taken.
    """
    short, long = sorted((np.log1p(src_lengths), np.log1p(tgt_lengths)), key=len)
    if not len(short):
        return 0
    short, long = short - short.mean(), long - long.mean()
    aligned = np.abs(short - long[: len(short)])
    shifted = np.abs(short - long[len(long) - len(short) :])
    cost = np.concatenate([[0.0], np.cumsum(aligned - shifted)])
    # Of equally good points the last: what still matches is not suspicious.
    return int(len(cost) - 1 - np.argmin(cost[::-1]))
