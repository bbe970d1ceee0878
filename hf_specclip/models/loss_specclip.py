"""Contrastive losses between spectra and texts, over large batches and across processes.

Pure functions of tensors. They compute in float32 whatever the model runs in (float64 stays
float64), because temperatures and sums of exponentials do not survive bfloat16.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from .dropout_masks_specclip import KeptMasks
from .free_memory_specclip import return_free_memory
from .loss_blocks_specclip import (
    SumOverProcesses,
    log_sum_exp,
    several_processes,
    softplus_sum,
)

# Mini-batches after which freed memory goes back: each leaves small things among what it frees, so
# that the next ones find no place there. 128 of them took 2 GB by that, for 0.2 GB in use.
_BETWEEN_RETURNS = 16
_DIRECTIONS = ("text_to_spectrum", "spectrum_to_text", "both")


def info_nce_loss(
    spectrum_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    text_ids: torch.Tensor | None = None,
    direction: Literal["text_to_spectrum", "spectrum_to_text", "both"] = "text_to_spectrum",
    across_processes: bool = False,
) -> torch.Tensor:
    r"""
    InfoNCE over cosine similarities: each text has to find its spectrum among all the spectra of
    the batch (`"text_to_spectrum"`, the paper's loss), each spectrum its text
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
        direction: who chooses among whom.
        across_processes: whether the batch is that of all processes of `torch.distributed`
            together, of which each gives its rows (all must take part, forward and backward). The
            loss is then the same on all, and gradients are what `gather_with_gradient` says.

    Returns:
        The mean over the rows, a scalar in float32 or better.

    When to use:
        The default. With `text_ids` where a batch may hold a text twice: otherwise equal texts are
        pushed apart. Larger batches give more negatives, at a memory that grows with n, not n²;
        where the encoders' own memory is the limit, see `in_mini_batches`.

    Example:

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
    with _full_precision(spectrum_embeds):
        texts, spectra = _unit_pairs(text_embeds, spectrum_embeds)
        scale = _as_scalar(logit_scale, texts)
        batch = _Batch(texts, spectra, text_ids, across_processes)
        by_text, by_spectrum = log_sum_exp(
            texts,
            batch.spectra,
            scale,
            direction != "spectrum_to_text",
            direction != "text_to_spectrum",
            batch.shared,
        )
        spread = batch.sum_over_processes(by_text) + by_spectrum
        if direction == "both":
            spread = spread / 2
        # The mean of a row's positive similarities is its similarity with the mean of its
        # positives: no n × n mask is built. Summed over rows it is the same in both directions.
        attraction = batch.sum_over_processes((texts * batch.mean_of_positives()).sum())
        return (spread - attraction * scale) / len(batch.spectra)


def sigmoid_loss(
    spectrum_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    logit_bias: torch.Tensor | float,
    text_ids: torch.Tensor | None = None,
    across_processes: bool = False,
) -> torch.Tensor:
    r"""
    Sigmoid loss (Zhai et al. 2023, SigLIP): each of the n × n pairs is judged by itself, whether
    it belongs together or not.

    .. math:: -\frac{1}{n} \sum_{ij} \log \sigma\left(z_{ij} (t\, x_{ij} + b)\right)

    with the cosine similarity x, z = 1 for pairs that share a text and −1 for others.

    Args:
        spectrum_embeds: `(n, d)` embeddings of the spectra; normalised here.
        text_embeds: `(n, d)` embeddings of the texts, row i belonging to spectrum i.
        logit_scale: t, the inverse temperature (not its logarithm).
        logit_bias: b; start near −10, since nearly all pairs do not belong together.
        text_ids: `(n,)` integers, equal where texts are equal. `None`: row i goes with row i alone.
        across_processes: see `info_nce_loss`.

    Returns:
        The sum over the pairs divided by n, a scalar in float32 or better.

    When to use:
        Small batches, or many detections for each text: it needs no softmax over the batch, and
        any number of positives is natural.

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip.models.loss_specclip import sigmoid_loss

    >>> spectra, texts = torch.randn(8, 64), torch.randn(8, 64)
    >>> loss = sigmoid_loss(spectra, texts, logit_scale=10.0, logit_bias=-10.0)
    ```"""
    with _full_precision(spectrum_embeds):
        texts, spectra = _unit_pairs(text_embeds, spectrum_embeds)
        scale, bias = _as_scalar(logit_scale, texts), _as_scalar(logit_bias, texts)
        batch = _Batch(texts, spectra, text_ids, across_processes)
        # As if no pair belonged together; those that do then differ by their logit alone,
        # since −log σ(x) = −log σ(−x) − x.
        apart = softplus_sum(texts, batch.spectra, scale, bias)
        total, number = batch.sum_of_positives()
        together = (texts * total).sum() * scale + number.sum() * bias
        return batch.sum_over_processes(apart - together) / len(batch.spectra)


def poisson_nll(
    log_source_rate: torch.Tensor,
    counts: torch.Tensor,
    exposure: torch.Tensor | None = None,
    background: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""
    Negative log-likelihood of counts under a Poisson law, averaged over bins and spectra:
    λ − n log λ with λ = exposure × rate + background, without the constant log n!.

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

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip.models.loss_specclip import poisson_nll

    >>> counts = torch.poisson(torch.full((4, 400), 0.3))
    >>> loss = poisson_nll(torch.zeros(4, 400), counts, exposure=torch.full((4,), 0.3))
    ```"""
    with _full_precision(log_source_rate):
        log_expected = at_least_float32(log_source_rate)
        if exposure is not None:
            log_expected = log_expected + torch.log(at_least_float32(exposure))[:, None]
        if background is not None:
            log_expected = torch.logaddexp(log_expected, torch.log(at_least_float32(background)))
        return (log_expected.exp() - counts.to(log_expected.dtype) * log_expected).mean()


def gather_with_gradient(local: torch.Tensor) -> torch.Tensor:
    """
    Joins the rows of all processes, `(n_0 + n_1 + …, …)` in the order of the ranks, so that
    gradients flow back to where each row came from. Numbers of rows may differ, and may be 0.

    Every process may then compute the same loss over the whole batch. The backward pass sums over
    the processes what each of their losses says about a row, which makes the gradient of each row
    the right one times the number of processes; `DistributedDataParallel` (and accelerate, which
    uses it) averages the parameters' gradients over the processes, and that average is exactly the
    gradient of one process with the whole batch. A loss computed on gathered rows must therefore
    not be scaled by the number of processes. All processes must take part, forward and backward.

    Args:
        local: `(n, …)` this process's rows; the other dimensions must agree.

    Returns:
        All rows. Outside `torch.distributed`, and with one process, `local` itself.

    When to use:
        Before a loss of your own in training on several processes: `accelerator.gather` and
        `torch.distributed.all_gather` carry no gradient, and the loss looks right all the same.
        The losses of this file do it themselves, and share the work, with `across_processes`.

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip.models.loss_specclip import gather_with_gradient, info_nce_loss

    >>> spectra = torch.randn(8, 64, requires_grad=True)
    >>> texts = torch.randn(8, 64, requires_grad=True)
    >>> loss = info_nce_loss(gather_with_gradient(spectra), gather_with_gradient(texts), 1 / 0.07)
    >>> loss.backward()
    ```"""
    if not several_processes():
        return local
    return _GatherWithGradient.apply(local, _rows_of_processes(local))


def in_mini_batches(
    function: Callable[..., torch.Tensor], inputs: Mapping[str, torch.Tensor], size: int | None
) -> torch.Tensor:
    """
    Applies an encoder to a batch some rows at a time, so that memory grows with the mini-batch
    while the loss is still that of the whole batch (gradient caching, Gao et al. 2021).

    Nothing inside the encoder is kept but, on a CPU, what dropout hid, at a bit an entry; the
    backward pass runs it again, mini-batch by mini-batch, with the same random numbers. Gradients
    are exact, at the price of a second forward pass.

    Args:
        function: takes the inputs by name, gives `(rows, …)`; each row must depend on its own
            inputs alone.
        inputs: tensors `(n, …)` of as many rows.
        size: rows at once; `None` for all.

    Returns:
        `(n, …)`, as `function(**inputs)` would give.

    When to use:
        Where a batch large enough for its negatives does not fit in memory, on one process or
        several. Accumulating the gradients of smaller batches would be another loss.

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip.models.loss_specclip import in_mini_batches, info_nce_loss

    >>> encoder, texts = torch.nn.Linear(400, 64), torch.randn(4096, 64)
    >>> spectra = in_mini_batches(encoder, {"input": torch.randn(4096, 400)}, size=512)
    >>> info_nce_loss(spectra, texts, logit_scale=1 / 0.07).backward()
    ```"""
    rows = {len(value) for value in inputs.values()}
    if len(rows) != 1:
        raise ValueError(f"inputs have {sorted(rows)} rows, they must have equally many")
    if size is not None and size < 1:
        raise ValueError(f"mini-batches of {size} rows: give 1 or more, or None for all at once")
    n = rows.pop()
    if size is None or n <= size:
        return function(**inputs)

    def part(*values: torch.Tensor) -> torch.Tensor:
        return function(**dict(zip(inputs, values, strict=True)))

    parts = zip(*(value.split(size) for value in inputs.values()), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([part(*values) for values in parts])
    contexts, outputs = KeptMasks().contexts, []
    for values in parts:
        # The tensors are arguments, not in the closure: checkpoint keeps the random numbers of the
        # devices of its arguments alone, and other dropout in the second pass is another gradient.
        outputs.append(checkpoint(part, *values, use_reentrant=False, context_fn=contexts))
        if len(outputs) % _BETWEEN_RETURNS == 0:
            return_free_memory()
    return torch.cat(outputs)


def _rows_of_processes(local: torch.Tensor) -> list[int]:
    """How many rows each process has."""
    size = torch.tensor([local.shape[0]], device=local.device)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    return [int(n) for n in sizes]


class _GatherWithGradient(torch.autograd.Function):
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


class _Batch:
    """This process's texts among the spectra of the whole batch."""

    def __init__(
        self,
        texts: torch.Tensor,
        spectra: torch.Tensor,
        text_ids: torch.Tensor | None,
        across_processes: bool,
    ):
        n = len(texts)
        if text_ids is not None and text_ids.shape != (n,):
            raise ValueError(f"text_ids are {tuple(text_ids.shape)}, they must be ({n},)")
        self.shared = across_processes and several_processes()
        self._own = slice(0, n)
        if self.shared:
            rows = _rows_of_processes(texts)
            start = sum(rows[: dist.get_rank()])
            self._own = slice(start, start + n)
            spectra = _GatherWithGradient.apply(spectra, rows)
            if text_ids is not None:
                text_ids = _GatherWithGradient.apply(text_ids, rows)
        self.spectra, self._ids = spectra, text_ids

    def sum_of_positives(self) -> tuple[torch.Tensor, torch.Tensor]:
        """For each own text the sum of the spectra that share it, and their number (rows, 1)."""
        own = self.spectra[self._own]
        if self._ids is None:
            return own, torch.ones_like(own[:, :1])
        _, place, number = torch.unique(self._ids, return_inverse=True, return_counts=True)
        sums = own.new_zeros(len(number), own.shape[1]).index_add(0, place, self.spectra)
        place = place[self._own]
        return sums[place], number[place, None].to(own.dtype)

    def mean_of_positives(self) -> torch.Tensor:
        """For each own text the mean of the spectra that share it."""
        total, number = self.sum_of_positives()
        return total / number

    def sum_over_processes(self, value: torch.Tensor) -> torch.Tensor:
        return SumOverProcesses.apply(value) if self.shared else value


def at_least_float32(value: Any) -> Any:
    """Half precision to float32; everything else, plain numbers included, as it is."""
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def _full_precision(tensor: torch.Tensor) -> torch.autocast:
    """Switches autocast off, which would bring bfloat16 back."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def _unit_pairs(texts: torch.Tensor, spectra: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if texts.shape != spectra.shape or texts.ndim != 2:
        raise ValueError(
            f"spectrum_embeds {tuple(spectra.shape)} and text_embeds {tuple(texts.shape)} must be "
            "(n, d) alike, row by row"
        )
    texts, spectra = at_least_float32(texts), at_least_float32(spectra)
    return F.normalize(texts, dim=-1), F.normalize(spectra, dim=-1)


def _as_scalar(value: torch.Tensor | float, like: torch.Tensor) -> torch.Tensor:
    """A temperature or bias as a scalar of the type that the loss is computed in."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(())


__all__ = [
    "at_least_float32",
    "gather_with_gradient",
    "in_mini_batches",
    "info_nce_loss",
    "poisson_nll",
    "sigmoid_loss",
]
