"""Contrastive losses of spectra and texts, on one or several processes, and a Poisson likelihood.

The losses are computed in float32 or better, because bfloat16 is too coarse for temperatures and
sums of exponentials.
"""

from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_DIRECTIONS = ("text_to_spectrum", "spectrum_to_text", "both")
# Logits up to this size can be exponentiated without subtracting their maximum.
_MAX_SHARED_SCALE = {torch.float32: 40.0, torch.float64: 400.0}


def info_nce_loss(
    spectrum_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    text_ids: torch.Tensor | None = None,
    direction: Literal["text_to_spectrum", "spectrum_to_text", "both"] = "text_to_spectrum",
    across_processes: bool = False,
) -> torch.Tensor:
    r"""
    Compute the InfoNCE loss of cosine similarities: the cross-entropy of a text's spectrum among
    all spectra of the batch (`"text_to_spectrum"`, the paper), of a spectrum's text among all texts
    (`"spectrum_to_text"`), or the mean of both (`"both"`, as in CLIP).

    If several spectra share a text (detections of one source), all of them are positives. The loss
    of row i with positives P(i) is, as in supervised contrastive learning (Khosla et al. 2020,
    eq. 2),

    .. math:: -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{\exp(s_{ip})}{\sum_j \exp(s_{ij})},

    where s are the similarities times `logit_scale`.

    Args:
        spectrum_embeds: `(n, d)` embeddings of the spectra; normalised here.
        text_embeds: `(n, d)` embeddings of the texts, row i belonging to spectrum i.
        logit_scale: inverse temperature (not its logarithm).
        text_ids: `(n,)` integers, equal for rows with equal texts. `None`: all texts differ.
        direction: `"text_to_spectrum"`, `"spectrum_to_text"` or `"both"`.
        across_processes: compute the loss of the joint batch of all `torch.distributed` processes.
            All must take part, forward and backward; numbers of rows may differ and be 0. The loss
            is the same on all processes. Gradients are multiplied by the number of processes, so
            that their average (`DistributedDataParallel`, accelerate) is the gradient of the joint
            batch.

    Returns:
        The mean over the rows, a scalar in float32 or better.

    When to use:
        The default. Give `text_ids` if a batch may contain a text twice; otherwise equal texts are
        negatives of each other. Larger batches give more negatives.

    Examples:

    ```python
    >>> import torch
    >>> from hf_specclip.models.loss_specclip import info_nce_loss

    >>> spectra, texts = torch.randn(8, 64), torch.randn(8, 64)
    >>> loss = info_nce_loss(spectra, texts, logit_scale=1 / 0.07)
    >>> text_ids = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6])  # two detections of one source
    >>> loss = info_nce_loss(spectra, texts, 1 / 0.07, text_ids=text_ids, direction="both")
    ```"""
    if direction not in _DIRECTIONS:
        raise ValueError(f"direction is {direction!r}, it must be one of {', '.join(_DIRECTIONS)}")
    with _no_autocast(spectrum_embeds):
        batch = _Batch(spectrum_embeds, text_embeds, text_ids, across_processes)
        scale = _as_scalar(logit_scale, batch.texts)
        from_texts, from_spectra = direction != "spectrum_to_text", direction != "text_to_spectrum"
        if not batch.distributed:
            log_sums = _log_sum_exp(batch.texts, batch.spectra, scale, from_texts, from_spectra)
        else:
            directions = []
            if from_texts:
                directions.append(_log_sum_exp(batch.texts, batch.all_spectra, scale))
            if from_spectra:
                directions.append(_log_sum_exp(batch.spectra, batch.all_texts, scale))
            log_sums = torch.stack(directions).sum()
        if direction == "both":
            log_sums = log_sums / 2
        # The mean similarity with the positives is the similarity with their mean, which needs no
        # n × n mask. Its sum over the rows is the same in both directions.
        total, count = batch.sum_of_positives()
        similarity = (batch.texts * (total / count)).sum()
        return batch.sum_over_processes(log_sums - similarity * scale) / len(batch.all_spectra)


def poisson_nll(
    log_source_rate: torch.Tensor,
    counts: torch.Tensor,
    exposure: torch.Tensor | None = None,
    background: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""
    Compute the Poisson negative log-likelihood of counts, averaged over bins and spectra:
    λ − n log λ with λ = exposure × rate + background, without the constant log n!.

    Args:
        log_source_rate: `(n, bins)` natural logarithm of the source rate.
        counts: `(n, bins)` observed counts.
        exposure: `(n,)`, s; `None` if the rate is in counts per observation.
        background: `(n, bins)` expected background counts in the aperture.

    Returns:
        A scalar in float32 or better.

    When to use:
        Spectra with few counts per bin. The median of mostly empty bins is zero, which is what the
        mean absolute error would lead to.

    Examples:

    ```python
    >>> import torch
    >>> from hf_specclip.models.loss_specclip import poisson_nll

    >>> counts = torch.poisson(torch.full((4, 400), 0.3))
    >>> loss = poisson_nll(torch.zeros(4, 400), counts, exposure=torch.full((4,), 0.3))
    ```"""
    with _no_autocast(log_source_rate):
        log_expected = at_least_float32(log_source_rate)
        if exposure is not None:
            log_expected = log_expected + torch.log(at_least_float32(exposure))[:, None]
        if background is not None:
            log_expected = torch.logaddexp(log_expected, torch.log(at_least_float32(background)))
        return (log_expected.exp() - counts.to(log_expected.dtype) * log_expected).mean()


def _log_sum_exp(
    rows: torch.Tensor,
    columns: torch.Tensor,
    scale: torch.Tensor,
    over_columns: bool = True,
    over_rows: bool = False,
) -> torch.Tensor:
    """Sum the log-sum-exp of scale rᵢ·cⱼ: over columns j for each row i, and over rows i for each
    column j.

    Args:
        rows: (n, d) unit vectors.
        columns: (m, d) unit vectors.
        scale: scalar.
        over_columns: include the log-sum-exp over the columns.
        over_rows: include the log-sum-exp over the rows.
    """
    eager_cpu = rows.device.type == "cpu" and not torch.compiler.is_compiling()
    if eager_cpu and float(scale.detach()) <= _MAX_SHARED_SCALE[rows.dtype]:
        return _LogSumExp.apply(rows, columns, scale, over_columns, over_rows)
    logits = (rows * scale) @ columns.t()
    dims = [1] * over_columns + [0] * over_rows
    return torch.stack([logits.logsumexp(dim=dim).sum() for dim in dims]).sum()


class _LogSumExp(torch.autograd.Function):
    """`_log_sum_exp` on a CPU, with one exponential for both directions, forward and backward.

    `torch.logsumexp` takes 1.3 times as long for 1,024 pairs in 512 dimensions, and 1.6 times as
    long, with twice the memory, for 4,096 and 8,192 pairs. In CPU time the loss of transformers
    takes 1.3, 2.1 and 2.2 times as long as this one at these sizes, that of open_clip 1.9, 2.3 and
    2.2 times.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx,
        rows: torch.Tensor,
        columns: torch.Tensor,
        scale: torch.Tensor,
        over_columns: bool,
        over_rows: bool,
    ) -> torch.Tensor:
        exponentials = torch.mm(rows * scale, columns.t()).exp_()
        # A direction that is left out has no gradient: exp(-inf) = 0.
        row_logs, column_logs = rows.new_full((2, 1), torch.inf)
        totals = []
        if over_columns:
            row_logs = exponentials.sum(dim=1).log()
            totals.append(row_logs.sum())
        if over_rows:
            column_logs = exponentials.sum(dim=0).double().log().to(rows.dtype)
            totals.append(column_logs.sum())
        ctx.save_for_backward(rows, columns, scale, exponentials, row_logs, column_logs)
        return torch.stack(totals).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor):  # type: ignore[override]
        rows, columns, scale, exponentials, row_logs, column_logs = ctx.saved_tensors
        factors = gradient * torch.exp(-row_logs)[:, None] + gradient * torch.exp(-column_logs)
        in_place = factors.shape == exponentials.shape
        grad_logits = factors.mul_(exponentials) if in_place else factors * exponentials
        grad_rows, grad_columns = grad_logits @ columns, grad_logits.t() @ rows
        grad_scale = (grad_rows * rows).sum().to(scale.dtype)
        return grad_rows.mul_(scale), grad_columns.mul_(scale), grad_scale, None, None


class _Batch:
    """Unit vectors of the local pairs and of the pairs of all processes.

    Attributes:
        distributed: True for a joint batch of several processes.
        spectra, texts: local unit vectors (rows, d).
        all_spectra, all_texts: unit vectors of all processes (n, d).
    """

    def __init__(
        self,
        spectra: torch.Tensor,
        texts: torch.Tensor,
        text_ids: torch.Tensor | None,
        across_processes: bool,
    ):
        if texts.shape != spectra.shape or texts.ndim != 2:
            raise ValueError(
                f"spectrum_embeds {tuple(spectra.shape)} and text_embeds {tuple(texts.shape)} must "
                "have the same shape (n, d)"
            )
        if text_ids is not None and text_ids.shape != (len(texts),):
            raise ValueError(f"text_ids are {tuple(text_ids.shape)}, they must be ({len(texts)},)")
        self.texts = F.normalize(at_least_float32(texts), dim=-1)
        self.spectra = F.normalize(at_least_float32(spectra), dim=-1)
        self.all_texts, self.all_spectra, self._ids = self.texts, self.spectra, text_ids
        self._local = slice(0, len(texts))
        self.distributed = across_processes and _is_distributed()
        if self.distributed:
            rows = _rows_of_processes(texts)
            start = sum(rows[: dist.get_rank()])
            self._local = slice(start, start + len(texts))
            both = torch.cat([self.texts, self.spectra], dim=1)
            self.all_texts, self.all_spectra = _GatherWithGradient.apply(both, rows).chunk(2, dim=1)
            if text_ids is not None:
                self._ids = _GatherWithGradient.apply(text_ids, rows)

    def sum_of_positives(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum the spectra that share the text of each local row; also count them (rows, 1)."""
        if self._ids is None:
            return self.spectra, torch.ones_like(self.spectra[:, :1])
        _, group, counts = torch.unique(self._ids, return_inverse=True, return_counts=True)
        sums = self.spectra.new_zeros(len(counts), self.spectra.shape[1])
        sums = sums.index_add(0, group, self.all_spectra)
        group = group[self._local]
        return sums[group], counts[group, None].to(sums.dtype)

    def sum_over_processes(self, value: torch.Tensor) -> torch.Tensor:
        """Sum a value over the processes of a joint batch."""
        return _SumOverProcesses.apply(value) if self.distributed else value


class _GatherWithGradient(torch.autograd.Function):
    """Rows of all processes; the backward pass sums their gradients over the processes."""

    @staticmethod
    def forward(ctx, local: torch.Tensor, rows: list[int]) -> torch.Tensor:  # type: ignore[override]
        ctx.start, ctx.rows = sum(rows[: dist.get_rank()]), local.shape[0]
        # Collectives need equal shapes: pad to the longest and truncate afterwards.
        padded = local.new_zeros(max(rows), *local.shape[1:])
        padded[: local.shape[0]] = local
        gathered = [torch.empty_like(padded) for _ in rows]
        dist.all_gather(gathered, padded)
        return torch.cat([block[:n] for block, n in zip(gathered, rows, strict=True)])

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):  # type: ignore[override]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.rows], None


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a value over all processes, with its gradient multiplied by their number.

    This undoes the average over processes of `DistributedDataParallel`.
    """

    @staticmethod
    def forward(ctx, value: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return gradient * dist.get_world_size()


def _is_distributed() -> bool:
    """Return True if `torch.distributed` runs with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _rows_of_processes(local: torch.Tensor) -> list[int]:
    """Return the number of rows of each process."""
    size = torch.tensor([local.shape[0]], device=local.device)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    return [int(n) for n in sizes]


def at_least_float32(value: Any) -> Any:
    """Convert float16 and bfloat16 tensors to float32; other values are returned unchanged."""
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def _no_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Disable autocast, which would return to bfloat16."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def _as_scalar(value: torch.Tensor | float, like: torch.Tensor) -> torch.Tensor:
    """Convert a temperature to a scalar tensor like another tensor."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(())


__all__ = [
    "at_least_float32",
    "info_nce_loss",
    "poisson_nll",
]
