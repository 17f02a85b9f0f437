"""The composition root: everything is put together here, and nothing else knows everything."""

from collector.daemon.collector import Collector
from collector.daemon.daemon import Daemon
from collector.daemon.process import run

__all__ = ["Collector", "Daemon", "run"]
