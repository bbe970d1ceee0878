from .classify.probe import SpecCLIPProbe as SpecCLIPProbe
from .classify.zero_shot import ZeroShotClasses as ZeroShotClasses
from .describe.describer import Describer as Describer
from .describe.description import Description as Description
from .evaluation.regression import evaluate_regression as evaluate_regression
from .evaluation.retrieval import evaluate_retrieval as evaluate_retrieval
from .literature.embedders.get_embedder import get_embedder as get_embedder
from .models.configuration_specclip import SpecCLIPConfig as SpecCLIPConfig
from .models.configuration_specclip import SpecCLIPSpectrumConfig as SpecCLIPSpectrumConfig
from .models.configuration_specclip import SpecCLIPTextConfig as SpecCLIPTextConfig
from .models.configuration_specclip_ensemble import SpecCLIPEnsembleConfig as SpecCLIPEnsembleConfig
from .models.configuration_specclip_moe import SpecCLIPMoEConfig as SpecCLIPMoEConfig
from .models.feature_extraction_specclip import SpecCLIPFeatureExtractor as SpecCLIPFeatureExtractor
from .models.modeling_specclip import SpecCLIPModel as SpecCLIPModel
from .models.modeling_specclip import SpecCLIPTextModel as SpecCLIPTextModel
from .models.modeling_specclip_ensemble import SpecCLIPEnsembleModel as SpecCLIPEnsembleModel
from .models.modeling_specclip_moe import SpecCLIPMoEForRegression as SpecCLIPMoEForRegression
from .models.modeling_specclip_spectrum import (
    SpecCLIPForSpectrumPreTraining as SpecCLIPForSpectrumPreTraining,
)
from .models.modeling_specclip_spectrum import SpecCLIPSpectrumModel as SpecCLIPSpectrumModel
from .models.pipelines import pipeline as pipeline
from .models.processing_specclip import SpecCLIPProcessor as SpecCLIPProcessor
from .models.variables_specclip import SECTIONS as SECTIONS
from .models.variables_specclip import VARIABLES as VARIABLES
from .outliers.detector import SpecCLIPOutlierDetector as SpecCLIPOutlierDetector
from .outliers.rows import OutlierRows as OutlierRows
from .search.filter import IndexFilter as IndexFilter
from .search.index import SpecCLIPIndex as SpecCLIPIndex
from .spectra.ogip.spectra import read_spectrum as read_spectrum
from .spectra.spectrum import XRaySpectrum as XRaySpectrum
from .version import __version__ as __version__
