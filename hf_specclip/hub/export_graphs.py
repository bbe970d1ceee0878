"""Graphs for export: the features of spectra, and the two towers of a model over padded inputs.

A graph takes what an observer has, counts and exposures, so that other runtimes need no code of
ours: `SpectrumFeatures` repeats `compute_features` in operations that a graph can hold.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..models.layers_specclip import SpecCLIPSentencePooling, SpecCLIPStatistics
from ..models.modeling_specclip import SpecCLIPTextModel
from ..models.spectrum_features_specclip import MIN_AREA, band_edges, band_matrix, overlaps
from ..models.spectrum_input_specclip import N_BANDS

# Columns of a spectrum, and what each holds; counts, background and area have a value in each bin.
COLUMNS = {
    "counts": "counts in each energy bin: whole numbers, background not subtracted",
    "exposure": "live time, s, above 0",
    "background_counts": "counts of the background region in each bin; zeros for none",
    "background_scale": "factor that turns them into counts of the source aperture; 0 for none",
    "effective_area": "cm² in the middle of each bin; NaN in all bins where it is unknown",
}
TEXT_INPUTS = {
    "text_embeds": "vectors of the sections by the embedder, joined; zeros for an absent one",
    "section_mask": "true for a section that is there",
    "sentence_embeds": "vector of each sentence by the embedder; zeros as padding",
    "sentence_numbers": "quantities that each states (quantity_numbers), then 1 where it names the "
    "source, and 1 where several of its text do; zeros for a question without numbers",
    "sentence_sections": "index of the section of each; the number of sections where it has none",
    "sentence_mask": "true where there is a sentence",
}
# How many of the columns each input kind reads.
OF_KIND = {"minmax": 1, "physics": 4, "flux": 5}


class Graph(NamedTuple):
    """A graph to export: its module, an example and the meaning of each input, its outputs."""

    name: str
    module: nn.Module
    example: dict[str, np.ndarray]
    about: dict[str, str]
    outputs: tuple[str, ...]

    def shape(self, name: str) -> list[str | int]:
        """Return the shape of an input; axes that may vary by name."""
        varying = ["batch", "sentences"] if name.startswith("sentence_") else ["batch"]
        return [*varying, *self.example[name].shape[len(varying) :]]


class SpectrumFeatures(nn.Module):
    """Features of spectra, as `compute_features` and `normalise_min_max` make them.

    Args:
        extractor: the `SpecCLIPFeatureExtractor` to repeat.
    """

    bands: torch.Tensor
    area_bands: torch.Tensor
    shared: torch.Tensor
    shared_squares: torch.Tensor
    weights: torch.Tensor
    weight_squares: torch.Tensor
    usual_area: torch.Tensor

    def __init__(self, extractor: Any):
        super().__init__()
        self.kind, self.n_bins = extractor.input_kind, extractor.n_bins
        low, high = extractor.energy_range
        width = (high - low) / self.n_bins
        halves = [round((window / width - 1) / 2) for window in extractor.windows]
        self.half_shape, self.half_background = (min(max(h, 0), self.n_bins) for h in halves)
        edges = band_edges(low, high)
        middles = np.sqrt(edges[1:] * edges[:-1]) if low > 0 else (edges[1:] + edges[:-1]) / 2
        bands = band_matrix(self.n_bins, low, high, tuple(map(tuple, extractor.bands)))
        parts = bands[:, 1 : 1 + N_BANDS]
        shared = overlaps(edges[:-1], edges[1:], extractor.bands)
        weights = np.stack([np.ones(N_BANDS), middles], axis=1)
        # Each factor of a product by its name, so that an int8 export can leave all of them out.
        constants = {
            "bands": bands,
            "area_bands": parts / parts.sum(axis=0),
            "shared": shared,
            "shared_squares": shared**2,
            "weights": weights,
            "weight_squares": weights**2,
            "usual_area": extractor.usual_area(),
        }
        for name, values in constants.items():
            self.register_buffer(name, torch.tensor(np.array(values, np.float32)))

    def forward(self, counts: torch.Tensor, *others: torch.Tensor) -> tuple[Any, Any]:
        """Return `spectrum_values` and `spectrum_globals`, None where the kind has none."""
        if self.kind == "minmax":
            low, high = counts.amin(dim=1, keepdim=True), counts.amax(dim=1, keepdim=True)
            span = torch.where(high > low, high - low, 1.0)
            return ((counts - low) / span)[:, None], None
        exposure, background, scale = others[0][:, None], others[1], others[2][:, None]
        source, region = counts @ self.bands, background @ self.bands
        net, variance = source - scale * region, source + scale**2 * region + 1
        total, total_variance = net[:, :1], variance[:, :1]
        positive = total.clamp(min=0)
        norm = (positive**2 + total_variance).sqrt()
        shape = self._mean(counts - scale * background, self.half_shape) * self.n_bins / norm
        smooth = self._mean(background, self.half_background) * scale
        values = [_stabilise(counts), _stabilise(smooth), shape.sign() * shape.abs().log1p()]
        log_net, parts = (positive + 1).log10(), slice(1, 1 + N_BANDS)
        if self.kind == "physics":
            brightness = [log_net - exposure.log10()]
            shares = [net[:, parts] / norm, variance[:, parts].sqrt() / norm]
            ratios = _hardness(net[:, 1 + N_BANDS :], variance[:, 1 + N_BANDS :])
        else:
            areas = self._areas(others[3]) * exposure
            brightness, shares, ratios = self._flux_numbers(
                net[:, parts] / areas, variance[:, parts] / areas**2, areas.mean(1, keepdim=True)
            )
        numbers = [
            *brightness, (source[:, :1] + 1).log10(), log_net,
            (scale * region[:, :1] + 1).log10(), (total / total_variance.sqrt()).asinh(),
            *shares, *ratios,
        ]  # fmt: skip
        return torch.stack(values, dim=1), torch.cat(numbers, dim=1)

    def _areas(self, area: torch.Tensor) -> torch.Tensor:
        """Return the mean area in each of the 13 bands."""
        area = torch.where(area.isnan().all(dim=1, keepdim=True), self.usual_area, area)
        areas = area @ self.area_bands
        return torch.maximum(areas, MIN_AREA * areas.amax(dim=1, keepdim=True))

    def _flux_numbers(
        self, flux: torch.Tensor, variance: torch.Tensor, sensitivity: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        sums = (flux @ self.weights).clamp(min=0) ** 2 + variance @ self.weight_squares
        norms = sums.sqrt()
        return (
            [norms.log10()],
            [flux / norms[:, :1], variance.sqrt() / norms[:, :1]],
            _hardness(
                flux @ self.shared * sensitivity, variance @ self.shared_squares * sensitivity**2
            ),
        )

    @staticmethod
    def _mean(values: torch.Tensor, half: int) -> torch.Tensor:
        """Average over the bins around each; over fewer at the ends of the spectrum."""
        mean = F.avg_pool1d(values[:, None], 2 * half + 1, 1, half, count_include_pad=False)
        return mean[:, 0]


def _stabilise(counts: torch.Tensor) -> torch.Tensor:
    return 2 * (counts + 0.375).sqrt() - 2 * 0.375**0.5


def _hardness(net: torch.Tensor, variance: torch.Tensor) -> list[torch.Tensor]:
    soft, medium, hard = (net.clamp(min=0) + 0.5).unbind(dim=1)
    of_soft, of_medium, of_hard = variance.unbind(dim=1)
    pairs = (
        (hard, medium, of_hard, of_medium),
        (hard, soft, of_hard, of_soft),
        (medium, soft, of_medium, of_soft),
    )
    ratios = [(x - y) / (x + y) for x, y, *_ in pairs]
    errors = [2 * (y**2 * of_x + x**2 * of_y).sqrt() / (x + y) ** 2 for x, y, of_x, of_y in pairs]
    return [torch.stack(ratios, dim=1), torch.stack(errors, dim=1).clamp(max=1)]


class SpectrumTower(nn.Module):
    """Columns of spectra to their points of the shared space and latents of the encoder."""

    def __init__(self, model: Any, extractor: Any):
        super().__init__()
        self.features, self.model = SpectrumFeatures(extractor), model
        self.signature = extractor.input_signature

    def forward(self, *columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed spectra: (batch, D) of unit length, (batch, L)."""
        values, numbers = self.features(*columns)
        signature = torch.full((values.shape[0],), self.signature, dtype=torch.long)
        output = self.model(values, numbers, signature)
        return output.spectrum_embeds, output.spectrum_latent


class PaddedPooling(SpecCLIPSentencePooling):
    """`SpecCLIPSentencePooling` over padded sentences, without indices by a mask."""

    def forward(
        self,
        sentences: torch.Tensor,
        numbers: torch.Tensor,
        sections: torch.Tensor,
        mask: torch.Tensor,
        statistics: SpecCLIPStatistics,
    ) -> torch.Tensor:
        """Pool the sentences of texts to `(batch, hidden_size)`; zeros for a text without any."""
        sentences, numbers = self.scale(sentences, numbers, statistics)
        hidden = self.embedding(sentences) + self.section_embedding(sections)
        if self.numbers_in is not None and self.numbers_out is not None:
            hidden = hidden + self.numbers_out(F.gelu(self.numbers_in(numbers)))
        hidden = self.norm(F.gelu(hidden))
        scores = self.scores(hidden).masked_fill(~mask[..., None], torch.finfo(hidden.dtype).min)
        weights = scores.softmax(dim=1) * mask[..., None]
        values = self.values(hidden).unflatten(-1, (self.heads, -1)) * weights[..., None]
        return values.sum(dim=1).flatten(1)


class TextTower(nn.Module):
    """Embedded texts to their points of the shared space.

    Args:
        model: a copy, whose pooling is replaced.
        names: of the inputs, in their order.
    """

    def __init__(self, model: Any, names: tuple[str, ...]):
        super().__init__()
        self.model, self.names = model, names
        for module in [each for each in model.modules() if isinstance(each, SpecCLIPTextModel)]:
            if module.sentence_pooling is not None:
                padded = PaddedPooling(module.config).eval()
                padded.load_state_dict(module.sentence_pooling.state_dict())
                module.sentence_pooling = padded

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor]:
        """Embed texts: (batch, D) of unit length."""
        named = dict(zip(self.names, inputs, strict=True))
        return (self.model.get_text_features(**named).pooler_output,)


def spectrum_graph(model: Any, extractor: Any) -> Graph:
    """Return the graph of the spectral side, with spectra drawn around every border case."""
    names = tuple(COLUMNS)[: OF_KIND[extractor.input_kind]]
    drawn = draw_spectra(extractor)
    return Graph(
        "spectrum",
        SpectrumTower(_frozen(model), extractor).eval(),
        {name: drawn[name] for name in names},
        {name: COLUMNS[name] for name in names},
        ("embeddings", "latents"),
    )


def text_graph(model: Any, seed: int = 0) -> Graph:
    """Return the graph of the text side, with embeddings drawn at random."""
    config = model.config.text_config
    random, n, width = np.random.default_rng(seed), 64, config.embedding_dim
    if config.reads == "sections":
        mask = random.random((n, config.n_sections)) < 0.7
        vectors = random.normal(size=(*mask.shape, width)) / width**0.5 * mask[..., None]
        example = {"text_embeds": vectors.reshape(n, -1).astype(np.float32), "section_mask": mask}
    else:
        mask = np.arange(9) < random.integers(1, 10, (n, 1))
        vectors = random.normal(size=(*mask.shape, width)) / width**0.5
        example = {"sentence_embeds": vectors.astype(np.float32)}
        if config.numbers_dim:
            numbers = random.normal(size=(*mask.shape, config.numbers_dim))
            numbers *= random.random(numbers.shape) < 0.1  # few quantities in a sentence
            example["sentence_numbers"] = numbers.astype(np.float32)
        example["sentence_sections"] = random.integers(0, config.n_sections + 1, mask.shape)
        example["sentence_mask"] = mask
    tower = TextTower(_frozen(model), tuple(example)).eval()
    about = {name: TEXT_INPUTS[name] for name in example}
    return Graph("text", tower, example, about, ("embeddings",))


def draw_spectra(extractor: Any, n: int = 256, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw columns of spectra, float32: falling power laws of 1 to 10,000 counts on a background.

    Some have no counts, some no background, and of some the effective area is unknown.
    """
    random, bins = np.random.default_rng(seed), extractor.n_bins
    rates = np.linspace(1, 10, bins) ** -random.uniform(0, 3, (n, 1))
    rates *= 10 ** random.uniform(0, 4, (n, 1)) / rates.sum(axis=1, keepdims=True)
    rates[::17] = 0
    scale = random.uniform(0.01, 0.5, n) * (np.arange(n) % 5 > 0)
    background = random.poisson(random.uniform(0, 3, (n, 1)), (n, bins))
    area = extractor.usual_area() * random.uniform(0.3, 2, (n, 1))
    area[::7] = np.nan
    columns = {
        "counts": random.poisson(rates + scale[:, None] * background),
        "exposure": 10 ** random.uniform(3, 5.5, n),
        "background_counts": background * (scale > 0)[:, None],
        "background_scale": scale,
        "effective_area": area,
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _frozen(model: Any) -> Any:
    """Copy a model, on the CPU, in float32 and without gradients."""
    return copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
