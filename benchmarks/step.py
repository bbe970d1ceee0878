"""Training step of `benchmarks.start.processes`, run by accelerate in each process.

    accelerate launch benchmarks/step.py STEPS BATCH

prints the seconds of each step, the processors' time in it over all processes, and the memory of
one process, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import torch
from accelerate import Accelerator

from hf_specclip import SpecCLIPConfig, SpecCLIPModel


def main(steps: int, batch: int) -> None:
    """Train on random rows and print the times."""
    accelerator = Accelerator(cpu=True)
    rows = batch // accelerator.num_processes
    torch.manual_seed(0)
    config = SpecCLIPConfig(text_config={"embedding_dim": 64}, contrastive_loss="infonce")
    model = SpecCLIPModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs = {
        "spectrum_values": torch.rand(rows, 1, 400),
        "input_signature": torch.full((rows,), config.spectrum_config.input_signature),
        "text_embeds": torch.randn(rows, 192),
        "text_ids": torch.arange(rows) + rows * accelerator.process_index,
    }
    from accelerate.utils import DistributedDataParallelKwargs

    accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    seconds, busy = [], []
    for step in range(steps + 1):
        accelerator.wait_for_everyone()
        start, start_busy = time.perf_counter(), time.process_time()
        loss = model(**inputs, return_loss=True).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        if step:  # the first one warms up
            seconds.append(time.perf_counter() - start)
            busy.append(time.process_time() - start_busy)
    total = accelerator.reduce(torch.tensor(busy), reduction="sum").tolist()
    if accelerator.is_main_process:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "cpu_seconds": total, "peak_mib": peak}), flush=True)
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
