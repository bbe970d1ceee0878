"""Program launcher that shards weights on CPUs, through accelerate's own code for FSDP.

    accelerate launch --config_file training/configs/accelerate/fsdp.yaml --num_processes 2 \
        fsdp_on_cpu.py PROGRAM ARGUMENTS

Accelerate uses the FSDP plugin of a configuration on accelerators alone, though torch shards
weights on any device; here its state is patched. Prints the number of sharded models at the end.
"""

import os
import runpy
import sys

import accelerate.accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType


def take_the_plugin() -> None:
    """Let accelerate's state take an FSDP plugin on CPUs, too."""
    real = AcceleratorState.__init__

    def init(self, *args, fsdp_plugin=None, **kwargs):
        real(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            # As it does itself: every later look at the state begins with this one.
            PartialState._shared_state["distributed_type"] = self.distributed_type

    AcceleratorState.__init__ = init


def count_models() -> list[int]:
    """A list that takes the number of parameters in parts of each model that accelerate cuts."""
    counts: list[int] = []
    real = accelerate.accelerator.fsdp2_prepare_model

    def prepare(*args, **kwargs):
        model = real(*args, **kwargs)
        counts.append(sum(hasattr(p, "full_tensor") for p in model.parameters()))
        return model

    accelerate.accelerator.fsdp2_prepare_model = prepare
    return counts


if __name__ == "__main__":
    assert os.environ["ACCELERATE_USE_FSDP"] == "true", "launched without an FSDP configuration"
    take_the_plugin()
    cut = count_models()
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        print(f"models in parts: {sum(n > 0 for n in cut)}", file=sys.stderr, flush=True)
