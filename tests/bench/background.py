# SPDX-License-Identifier: Apache-2.0
"""What goes on in a thread beside what is measured, for as long as a with block lasts."""
import threading


class Background:
    """`run` is to end soon after self.stop is set."""

    def __init__(self):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        raise NotImplementedError

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
