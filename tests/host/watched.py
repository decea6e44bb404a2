"""A row of a recording that remembers which of its columns were asked for."""

from __future__ import annotations


class Watched(dict):
    """A row that remembers what was read."""

    def __init__(self, row):
        super().__init__(row)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)
