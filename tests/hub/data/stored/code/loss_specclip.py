"""Contrastive losses between spectra and texts, and the gathering of batches across processes.

Pure functions of tensors. They compute in float32 whatever the model runs in (float64 stays
float64), because temperatures and sums of exponentials do not survive bfloat16.
"""

from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F

# Which axis of the logits (texts × spectra) the softmax runs over, by who chooses.
_CHOOSERS = {"text_to_spectrum": (1,), "spectrum_to_text": (0,), "both": (1, 0)}


def info_nce_loss(
    spectrum_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    text_ids: torch.Tensor | None = None,
    direction: Literal["text_to_spectrum", "spectrum_to_text", "both"] = "text_to_spectrum",
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

    Returns:
        The mean over the rows, a scalar in float32 or better.

    When to use:
        The default for batches of some hundred pairs. With `text_ids` where a batch may hold a text
        twice: otherwise equal texts are pushed apart. Larger batches give more negatives; across
        processes gather first (see `gather_with_gradient`).

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip.loss_specclip import info_nce_loss

    >>> spectra, texts = torch.randn(8, 64), torch.randn(8, 64)
    >>> loss = info_nce_loss(spectra, texts, logit_scale=1 / 0.07)
    >>> text_ids = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6])  # two detections of one source
    >>> loss = info_nce_loss(spectra, texts, 1 / 0.07, text_ids=text_ids, direction="both")
    ```"""
    if direction not in _CHOOSERS:
        raise ValueError(f"direction is {direction!r}, it must be one of {', '.join(_CHOOSERS)}")
    with _full_precision(spectrum_embeds):
        texts, spectra = _unit_pairs(text_embeds, spectrum_embeds)
        scale = at_least_float32(logit_scale)
        logits = texts @ spectra.t() * scale
        spread = [logits.logsumexp(dim=dim).mean() for dim in _CHOOSERS[direction]]
        # The mean of a row's positive similarities is its similarity with the mean of its
        # positives: no n × n mask is built. Summed over rows it is the same in both directions.
        attraction = (texts * _mean_of_equals(spectra, text_ids)).sum(dim=-1).mean() * scale
        return torch.stack(spread).mean() - attraction


def sigmoid_loss(
    spectrum_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    logit_bias: torch.Tensor | float,
    text_ids: torch.Tensor | None = None,
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

    Returns:
        The sum over the pairs divided by n, a scalar in float32 or better.

    When to use:
        Small batches, or many detections for each text: it needs no softmax over the batch, and
        any number of positives is natural.

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip.loss_specclip import sigmoid_loss

    >>> spectra, texts = torch.randn(8, 64), torch.randn(8, 64)
    >>> loss = sigmoid_loss(spectra, texts, logit_scale=10.0, logit_bias=-10.0)
    ```"""
    with _full_precision(spectrum_embeds):
        texts, spectra = _unit_pairs(text_embeds, spectrum_embeds)
        logits = texts @ spectra.t() * at_least_float32(logit_scale) + at_least_float32(logit_bias)
        signs = 2 * _positives(text_ids, logits).to(logits.dtype) - 1
        return -F.logsigmoid(signs * logits).sum() / logits.shape[0]


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
    >>> from hf_specclip.loss_specclip import poisson_nll

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

    Every process then computes the same loss over the whole batch. The backward pass sums over the
    processes what each of their losses says about a row, which makes the gradient of each row the
    right one times the number of processes; `DistributedDataParallel` (and accelerate, which uses
    it) averages the parameters' gradients over the processes, and that average is exactly the
    gradient of one process with the whole batch. A loss computed on gathered rows must therefore
    not be scaled by the number of processes. All processes must take part, forward and backward.

    Args:
        local: `(n, …)` this process's rows; the other dimensions must agree.

    Returns:
        All rows. Outside `torch.distributed`, and with one process, `local` itself.

    When to use:
        Before a contrastive loss in training on several processes: `accelerator.gather` and
        `torch.distributed.all_gather` carry no gradient, and the loss looks right all the same.

    Example:

    ```python
    >>> import torch
    >>> from hf_specclip.loss_specclip import gather_with_gradient, info_nce_loss

    >>> spectra = torch.randn(8, 64, requires_grad=True)
    >>> texts = torch.randn(8, 64, requires_grad=True)
    >>> loss = info_nce_loss(gather_with_gradient(spectra), gather_with_gradient(texts), 1 / 0.07)
    >>> loss.backward()
    ```"""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return local
    return _GatherWithGradient.apply(local)


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, local: torch.Tensor) -> torch.Tensor:
        size = torch.tensor([local.shape[0]], device=local.device)
        sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
        dist.all_gather(sizes, size)
        rows = [int(n) for n in sizes]
        ctx.start, ctx.rows = sum(rows[: dist.get_rank()]), local.shape[0]
        # Collectives want equal shapes: pad to the longest, cut off afterwards.
        padded = local.new_zeros(max(rows), *local.shape[1:])
        padded[: local.shape[0]] = local
        parts = [torch.empty_like(padded) for _ in rows]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, rows, strict=True)])

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.rows]


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


def _check_ids(text_ids: torch.Tensor, n: int) -> None:
    if text_ids.shape != (n,):
        raise ValueError(f"text_ids are {tuple(text_ids.shape)}, they must be ({n},)")


def _positives(text_ids: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
    n = logits.shape[0]
    if text_ids is None:
        return torch.eye(n, dtype=torch.bool, device=logits.device)
    _check_ids(text_ids, n)
    return text_ids[:, None] == text_ids[None, :]


def _mean_of_equals(embeds: torch.Tensor, text_ids: torch.Tensor | None) -> torch.Tensor:
    """Each row replaced by the mean over the rows that share its text."""
    if text_ids is None:
        return embeds
    _check_ids(text_ids, len(embeds))
    _, place, number = torch.unique(text_ids, return_inverse=True, return_counts=True)
    sums = embeds.new_zeros(len(number), embeds.shape[1]).index_add(0, place, embeds)
    return (sums / number[:, None].to(embeds.dtype))[place]


__all__ = [
    "at_least_float32",
    "gather_with_gradient",
    "info_nce_loss",
    "poisson_nll",
    "sigmoid_loss",
]
