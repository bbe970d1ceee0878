"""Contrastive losses between spectra and texts, over one process's batch or that of all.

Pure functions of tensors. They compute in float32 whatever the model runs in (float64 stays
float64), because temperatures and sums of exponentials do not survive bfloat16.
"""

from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_DIRECTIONS = ("text_to_spectrum", "spectrum_to_text", "both")
# Sums of exponentials of logits up to these neither overflow nor vanish.
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
    Compute InfoNCE over cosine similarities: each text has to find its spectrum among all the
    spectra of the batch (`"text_to_spectrum"`, the paper's loss), each spectrum its text
    (`"spectrum_to_text"`), or the mean of the two (`"both"`, as in CLIP).

    Where several spectra share a text (detections of one source), each of them is a positive. The
    loss of row i with its positives P(i) is the mean of their log-probabilities, as in supervised
    contrastive learning (Khosla et al. 2020, eq. 2),

    .. math:: -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{\exp(s_{ip})}{\sum_j \exp(s_{ij})},

    with s the similarities times `logit_scale`. Without shared texts this is plain InfoNCE.

    Args:
        spectrum_embeds: `(n, d)` embeddings of the spectra; normalised here.
        text_embeds: `(n, d)` embeddings of the texts, row i belonging to spectrum i.
        logit_scale: inverse temperature (not its logarithm).
        text_ids: `(n,)` integers, equal where texts are equal. `None`: row i goes with row i alone.
        direction: which side chooses among the other.
        across_processes: use the batches of all processes of `torch.distributed` together; each
            gives its rows (numbers may differ, and be 0), and all must take part, forward and
            backward. The loss is then the same on all, and a row's gradient the right one times
            their number: averaged, as `DistributedDataParallel` and accelerate do, parameters have
            exactly the gradients of one process with the whole batch.

    Returns:
        The mean over the rows, a scalar in float32 or better.

    When to use:
        The default. With `text_ids` where a batch may hold a text twice: otherwise equal texts are
        pushed apart. Larger batches give more negatives.

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
        if not batch.shared:
            log_sums = _log_sum_exp(batch.texts, batch.spectra, scale, from_texts, from_spectra)
        else:
            sides = []
            if from_texts:
                sides.append(_log_sum_exp(batch.texts, batch.all_spectra, scale))
            if from_spectra:
                sides.append(_log_sum_exp(batch.spectra, batch.all_texts, scale))
            log_sums = torch.stack(sides).sum()
        if direction == "both":
            log_sums = log_sums / 2
        # The mean of a row's positive similarities is its similarity with the mean of its
        # positives: no n × n mask is built. Summed over rows it is the same in both directions.
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
    Compute the negative log-likelihood of counts under a Poisson law, averaged over bins and
    spectra: λ − n log λ with λ = exposure × rate + background, without the constant log n!.

    Args:
        log_source_rate: `(n, bins)` natural logarithm of the source's rate.
        counts: `(n, bins)` observed counts.
        exposure: `(n,)` seconds; `None` stands for 1 (the rate is then counts per observation).
        background: `(n, bins)` background counts expected in the aperture; `None` for none.

    Returns:
        A scalar in float32 or better.

    When to use:
        Counts with few in a bin, where the absolute or squared error of a rate misleads: most bins
        are zero, and the median of what is mostly zero is zero.

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
    """Sum log Σ_j exp(scale rᵢ·cⱼ) over the rows i, log Σ_i exp(scale rᵢ·cⱼ) over the columns j.

    Args:
        rows: (n, d) unit vectors.
        columns: (m, d) unit vectors.
        scale: scalar.
        over_columns: include the sum over the rows i.
        over_rows: include the sum over the columns j.
    """
    eager_cpu = rows.device.type == "cpu" and not torch.compiler.is_compiling()
    if eager_cpu and float(scale.detach()) <= _MAX_SHARED_SCALE[rows.dtype]:
        return _LogSumExp.apply(rows, columns, scale, over_columns, over_rows)
    logits = (rows * scale) @ columns.t()
    dims = [1] * over_columns + [0] * over_rows
    return torch.stack([logits.logsumexp(dim=dim).sum() for dim in dims]).sum()


class _LogSumExp(torch.autograd.Function):
    """`_log_sum_exp` on a CPU, with one exponential for both directions, forward and backward.

    Plain `logsumexp` takes 1.3 times as long at 1,024 pairs of 512, and 1.6 times, with twice the
    memory, at 4,096 and 8,192. By processor time transformers' loss takes 1.3, 2.1 and 2.2 times as
    long, open_clip's 1.9, 2.3 and 2.2, one product with its gradients 0.9, 1.2 and 1.1.
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
        # A direction that is not wanted has no gradient: exp(-inf) = 0.
        row_logs, column_logs = rows.new_full((2, 1), torch.inf)
        wanted = []
        if over_columns:
            row_logs = exponentials.sum(dim=1).log()
            wanted.append(row_logs.sum())
        if over_rows:
            column_logs = exponentials.sum(dim=0).double().log().to(rows.dtype)
            wanted.append(column_logs.sum())
        ctx.save_for_backward(rows, columns, scale, exponentials, row_logs, column_logs)
        return torch.stack(wanted).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor):  # type: ignore[override]
        rows, columns, scale, exponentials, row_logs, column_logs = ctx.saved_tensors
        factors = gradient * torch.exp(-row_logs)[:, None] + gradient * torch.exp(-column_logs)
        in_place = factors.shape == exponentials.shape
        by_logits = factors.mul_(exponentials) if in_place else factors * exponentials
        by_rows, by_columns = by_logits @ columns, by_logits.t() @ rows
        by_scale = (by_rows * rows).sum().to(scale.dtype)
        return by_rows.mul_(scale), by_columns.mul_(scale), by_scale, None, None


class _Batch:
    """Unit vectors of this process's pairs, and those of all processes.

    Attributes:
        shared: the batch is spread over several processes.
        spectra, texts: (rows, d) of this process.
        all_spectra, all_texts: (n, d) of all processes.
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
                "be (n, d) alike, row by row"
            )
        if text_ids is not None and text_ids.shape != (len(texts),):
            raise ValueError(f"text_ids are {tuple(text_ids.shape)}, they must be ({len(texts)},)")
        self.texts = F.normalize(at_least_float32(texts), dim=-1)
        self.spectra = F.normalize(at_least_float32(spectra), dim=-1)
        self.all_texts, self.all_spectra, self._ids = self.texts, self.spectra, text_ids
        self._local = slice(0, len(texts))
        self.shared = across_processes and _several_processes()
        if self.shared:
            rows = _rows_of_processes(texts)
            start = sum(rows[: dist.get_rank()])
            self._local = slice(start, start + len(texts))
            both = torch.cat([self.texts, self.spectra], dim=1)
            self.all_texts, self.all_spectra = _GatherWithGradient.apply(both, rows).chunk(2, dim=1)
            if text_ids is not None:
                self._ids = _GatherWithGradient.apply(text_ids, rows)

    def sum_of_positives(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum the spectra that share each of this process's texts; also their counts (rows, 1)."""
        if self._ids is None:
            return self.spectra, torch.ones_like(self.spectra[:, :1])
        _, group, counts = torch.unique(self._ids, return_inverse=True, return_counts=True)
        sums = self.spectra.new_zeros(len(counts), self.spectra.shape[1])
        sums = sums.index_add(0, group, self.all_spectra)
        group = group[self._local]
        return sums[group], counts[group, None].to(sums.dtype)

    def sum_over_processes(self, value: torch.Tensor) -> torch.Tensor:
        """Sum a value over all processes, where the batch is spread over them."""
        return _SumOverProcesses.apply(value) if self.shared else value


class _GatherWithGradient(torch.autograd.Function):
    """Rows of all processes; the backward pass sums their gradients over the processes."""

    @staticmethod
    def forward(ctx, local: torch.Tensor, rows: list[int]) -> torch.Tensor:  # type: ignore[override]
        ctx.start, ctx.rows = sum(rows[: dist.get_rank()]), local.shape[0]
        # Collectives want equal shapes: pad to the longest, cut off afterwards.
        padded = local.new_zeros(max(rows), *local.shape[1:])
        padded[: local.shape[0]] = local
        parts = [torch.empty_like(padded) for _ in rows]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, rows, strict=True)])

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):  # type: ignore[override]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.rows], None


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a value over all processes; its gradient is multiplied by their number.

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


def _several_processes() -> bool:
    """Return True where `torch.distributed` runs with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _rows_of_processes(local: torch.Tensor) -> list[int]:
    """Return the number of rows of each process."""
    size = torch.tensor([local.shape[0]], device=local.device)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    return [int(n) for n in sizes]


def at_least_float32(value: Any) -> Any:
    """Widen half precision to float32; return everything else, plain numbers included, as it is."""
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def _no_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Switch autocast off, which would bring bfloat16 back."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def _as_scalar(value: torch.Tensor | float, like: torch.Tensor) -> torch.Tensor:
    """Return a temperature as a scalar of the type that the loss is computed in."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(())


__all__ = [
    "at_least_float32",
    "info_nce_loss",
    "poisson_nll",
]
