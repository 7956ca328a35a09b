"""A file that TensorBoard reads, written at once and in this thread: what cannot be written is known here."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mt_trainer.files import write_all


class EventFile:
    """Scalars by step, in a new file of a folder.

    Args:
        folder: made if absent.
        first_step: what older files of the folder have from this step on is not shown any more.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, *, first_step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard.summary import scalar

        self._event, self._scalar = Event, scalar
        folder.mkdir(exist_ok=True)
        now = time.time_ns()  # in the name, in seconds and what is left of them: readers go by the order of the names
        name = f"events.out.tfevents.{now // 10**9:010d}.{now % 10**9:09d}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        writer: Any = RecordWriter
        self._records = writer(self)
        self._add(Event(file_version="brain.Event:2", step=first_step))
        self._add(Event(session_log=SessionLog(status=SessionLog.START), step=first_step))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """The scalars of a step.

        Raises:
            OSError: they cannot be written.
        """
        for name, value in scalars.items():
            summary: Any = self._scalar(name, value)  # type: ignore[no-untyped-call]
            self._add(self._event(summary=summary, step=step))

    def write(self, content: bytes) -> None:
        """What the writer of records hands over."""
        write_all(self._descriptor, content)

    def close(self) -> None:
        """Close the file; nothing is written any more."""
        os.close(self._descriptor)

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
