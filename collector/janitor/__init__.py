"""The janitor: derives, prunes, sweeps, checkpoints and makes room, a slice at a time.

All of it happens on the event loop and on the writer's connection, because there is only one. So
every job is a generator of small steps, no step leaves a transaction open, and a slice ends after
20 ms, or after 4 ms while producers are sending one event after the other. A checkpoint cannot be
cut up; it is kept short by being done whenever 4 MiB have been written.

`schedule` says what is to do and when, `removal` what has to go, `pace` how much of the loop's time it
may take, `alarm` when to look again, `reports` tells what was done, `full_disk` is for when nothing
can be written any more.
"""

from __future__ import annotations

from collector.janitor.schedule import CHECKPOINT_FRAMES, Janitor

__all__ = ["CHECKPOINT_FRAMES", "Janitor"]
