"""The stage that writes summaries, over summarisers of any kind."""

import time

import pytest
from building import source

from specclip_datasets.sky.literature.texts import STAGE, write_summaries
from specclip_datasets.sky.work.queue import WorkQueue


class Refused:
    """A model whose key has expired."""

    name, workers = "refused", 1

    def __init__(self):
        self.asked = 0

    def summarise(self, source, papers):
        self.asked += 1
        raise PermissionError("the key is known no more")


def test_a_summariser_that_stops_is_asked_no_further_question(tmp_path):
    some = [source(n) for n in range(20)]
    queue, model = WorkQueue(tmp_path / "queue.sqlite"), Refused()
    by_name = {each.name: each for each in some}

    def find(name):
        time.sleep(0.002)  # the thread that asks is ahead of the one that hands out
        return by_name[name]

    with pytest.raises(PermissionError):
        write_summaries(queue, some, model, papers_each=5, find=find)
    assert model.asked == 1
    assert queue.counts(STAGE)["wanted"] == 20
