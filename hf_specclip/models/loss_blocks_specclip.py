"""Sums over all pairs of two sets of points, block by block, with their gradients.

A contrastive loss needs n × n similarities. Here they are made some rows at a time: up to
`KEPT_PAIRS` of them are kept for the backward pass, more are made anew there, so that memory does
not grow with the square of the batch. Within `torch.distributed` a process makes the rows of its
own texts alone, and no two processes do the same work.
"""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable

# Pairs held at once while they are worked on: what fits beside the operands in a CPU's cache, and
# what keeps an accelerator busy.
BLOCK_PAIRS = 2**21
ACCELERATOR_BLOCK_PAIRS = 2**26
# Pairs kept from forward to backward: 256 MiB in float32.
KEPT_PAIRS = 2**26
# Exponentials of similarities up to these neither overflow when summed nor vanish when divided.
_SAFE_SCALE = {torch.float32: 40.0, torch.float64: 400.0}


def several_processes() -> bool:
    """Whether `torch.distributed` runs with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def log_sum_exp(
    rows: torch.Tensor,
    columns: torch.Tensor,
    scale: torch.Tensor,
    over_columns: bool,
    over_rows: bool,
    shared: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `LogSumExp`; in one product where `torch.compile` traces, which no block may leave."""
    if not torch.compiler.is_compiling() or shared:
        return LogSumExp.apply(rows, columns, scale, over_columns, over_rows, shared)
    products = rows @ columns.T * scale
    nothing = rows.new_zeros(())
    return (
        products.logsumexp(dim=1).sum() if over_columns else nothing,
        products.logsumexp(dim=0).sum() if over_rows else nothing,
    )


def softplus_sum(
    rows: torch.Tensor, columns: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """See `SoftplusSum`; in one product where `torch.compile` traces."""
    if not torch.compiler.is_compiling():
        return SoftplusSum.apply(rows, columns, scale, bias)
    return torch.nn.functional.softplus(rows @ columns.T * scale + bias).sum()


class LogSumExp(torch.autograd.Function):
    """`(sum_i log sum_j exp(s r_i·c_j), sum_j log sum_i exp(s r_i·c_j))`, 0 for one not wanted.

    With `shared`, the rows are those of this process and the sums over i run over all processes;
    the first result is over this process's rows, the second (the same everywhere) has a gradient
    times the number of processes, as `gather_with_gradient` explains.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx,
        rows: torch.Tensor,
        columns: torch.Tensor,
        scale: torch.Tensor,
        over_columns: bool,
        over_rows: bool,
        shared: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # One exponential then serves both directions, forward and backward. An accelerator's host
        # waits for the scale, which costs less than a quarter of the passes over all pairs do.
        safe = not _recorded(rows) and float(scale) <= _SAFE_SCALE[rows.dtype]
        kept = _room(ctx, rows, columns)
        by_row = rows.new_zeros(len(rows) if over_columns else 0)
        by_column = _ColumnSums(columns, safe) if over_rows else None
        for at, block in _products(rows, columns, scale, kept):
            if safe:
                block.exp_()
            if over_columns:
                by_row[at] = block.sum(dim=1).log() if safe else block.logsumexp(dim=1)
            if by_column is not None:
                by_column.add(block)
        lse = rows.new_zeros(0) if by_column is None else by_column.finish(shared)
        ctx.save_for_backward(rows, columns, scale, by_row, lse, kept)
        ctx.safe, ctx.processes = safe, dist.get_world_size() if shared else 1
        return by_row.sum(), lse.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient_rows, gradient_columns):  # type: ignore[override]
        rows, columns, scale, by_row, by_column, kept = ctx.saved_tensors
        gradient_columns = gradient_columns * ctx.processes
        if ctx.safe:
            row_factor = (gradient_rows * torch.exp(-by_row))[:, None]
            column_factor = gradient_columns * torch.exp(-by_column)

        def weights(at: slice, block: torch.Tensor, work: torch.Tensor) -> torch.Tensor:
            if ctx.safe:
                if kept is None:
                    block.exp_()
                if not len(by_column):
                    return torch.mul(block, row_factor[at], out=work)
                if not len(by_row):
                    return torch.mul(block, column_factor, out=work)
                return torch.add(row_factor[at], column_factor, out=work).mul_(block)
            parts = []
            if len(by_row):
                parts.append((block - by_row[at, None]).exp_().mul_(gradient_rows))
            if len(by_column):
                parts.append((block - by_column).exp_().mul_(gradient_columns))
            return parts[0] if len(parts) == 1 else parts[0].add_(parts[1])

        return (*_gradients(rows, columns, scale, kept, weights), None, None, None)


class SoftplusSum(torch.autograd.Function):
    """`sum_ij log(1 + exp(s r_i·c_j + b))`, the sigmoid loss where no pair belongs together."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx, rows: torch.Tensor, columns: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        kept = _room(ctx, rows, columns)
        total = torch.zeros((), dtype=_wide(rows), device=rows.device)
        for _, block in _products(rows, columns, scale, kept):
            total += torch.nn.functional.softplus(block.add_(bias)).sum()
        ctx.save_for_backward(rows, columns, scale, bias, kept)
        return total.to(rows.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        rows, columns, scale, bias, kept = ctx.saved_tensors
        total = torch.zeros_like(bias)

        def weights(at: slice, block: torch.Tensor, work: torch.Tensor) -> torch.Tensor:
            if kept is None:
                block.add_(bias)
            torch.sigmoid(block, out=work).mul_(gradient)
            total.add_(work.sum())
            return work

        return (*_gradients(rows, columns, scale, kept, weights), total)


class SumOverProcesses(torch.autograd.Function):
    """The sum of a value over all processes; the gradient is times their number.

    `DistributedDataParallel` averages gradients over the processes, which makes it the sum again.
    """

    @staticmethod
    def forward(ctx, value: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return gradient * dist.get_world_size()


class _ColumnSums:
    """Logarithm of the sums of exponentials down the columns, over blocks of rows as they come."""

    def __init__(self, columns: torch.Tensor, safe: bool):
        self._sums = torch.zeros(len(columns), dtype=_wide(columns), device=columns.device)
        self._most = None if safe else torch.full_like(columns[:, 0], -torch.inf)
        self._dtype = columns.dtype

    def add(self, block: torch.Tensor) -> None:
        """Some rows: their exponentials where these are safe, else the similarities."""
        if self._most is None:
            self._sums += block.sum(dim=0)
            return
        most = torch.maximum(self._most, block.amax(dim=0))
        self._sums.mul_((self._most - most).exp()).add_((block - most).exp_().sum(dim=0))
        self._most = most

    def finish(self, shared: bool) -> torch.Tensor:
        if not shared:
            logs = self._sums.log()
            return (logs if self._most is None else logs + self._most).to(self._dtype)
        # Processes without a row hold log 0; the largest is finite on at least one of them.
        logs = self._sums.log() + (0.0 if self._most is None else self._most)
        logs = torch.where(self._sums > 0, logs, -torch.inf)
        most = logs.clone()
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        sums = (logs - most).exp()
        dist.all_reduce(sums)
        return (sums.log() + most).to(self._dtype)


def _recorded(rows: torch.Tensor) -> bool:
    """Whether a CUDA graph records what is launched: no value may be looked at then."""
    return rows.is_cuda and torch.cuda.is_current_stream_capturing()


def _wide(values: torch.Tensor) -> torch.dtype:
    """For sums over blocks: float64 where the device has it."""
    return values.dtype if values.device.type == "mps" else torch.float64


def _room(ctx, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor | None:
    """Where all similarities are kept; None for too many, and where no one will go backward."""
    if not any(ctx.needs_input_grad) or len(rows) * len(columns) > KEPT_PAIRS:
        return None
    return rows.new_empty(len(rows), len(columns))


def _rows_at_once(columns: torch.Tensor) -> int:
    pairs = BLOCK_PAIRS if columns.device.type == "cpu" else ACCELERATOR_BLOCK_PAIRS
    return max(1, pairs // max(1, len(columns)))


def _products(
    rows: torch.Tensor, columns: torch.Tensor, scale: torch.Tensor, kept: torch.Tensor | None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """The scaled products of some rows with all columns, in `kept` or in one place again."""
    scaled, across = rows * scale, columns.t()
    size = _rows_at_once(columns)
    work = None if kept is not None else rows.new_empty(min(size, len(rows)), len(columns))
    for start in range(0, len(rows), size):
        at = slice(start, min(start + size, len(rows)))
        out = kept[at] if kept is not None else work[: at.stop - at.start]  # type: ignore[index]
        yield at, torch.mm(scaled[at], across, out=out)


def _gradients(
    rows: torch.Tensor,
    columns: torch.Tensor,
    scale: torch.Tensor,
    kept: torch.Tensor | None,
    weights,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of rows, columns and scale from those of the scaled products.

    Args:
        weights: (rows, block of products, room of its shape) -> gradient of each product.
    """
    by_rows, by_columns = torch.empty_like(rows), torch.empty_like(columns)
    size = _rows_at_once(columns)
    work = rows.new_empty(min(size, len(rows)), len(columns))
    blocks = (
        _products(rows, columns, scale, None)
        if kept is None
        else (
            (slice(at, min(at + size, len(rows))), kept[at : at + size])
            for at in range(0, len(rows), size)
        )
    )
    for at, block in blocks:
        weight = weights(at, block, work[: at.stop - at.start])
        torch.mm(weight, columns, out=by_rows[at])
        by_columns.addmm_(weight.t(), rows[at], beta=float(at.start > 0))
    if not len(rows):
        by_columns.zero_()
    by_scale = (by_rows * rows).sum().to(scale.dtype)
    return by_rows.mul_(scale), by_columns.mul_(scale), by_scale


__all__ = [
    "ACCELERATOR_BLOCK_PAIRS",
    "BLOCK_PAIRS",
    "KEPT_PAIRS",
    "LogSumExp",
    "SoftplusSum",
    "SumOverProcesses",
    "log_sum_exp",
    "several_processes",
    "softplus_sum",
]
