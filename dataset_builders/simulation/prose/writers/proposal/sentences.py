"""Templates of sentences of the proposal, by topic."""

from __future__ import annotations

from ....source_classes import BLACK_BODY, BREMSSTRAHLUNG, DISK, PLASMA, POWER_LAW

UNKNOWN = (
    "<puzzling|enigmatic> X-ray source",
    "X-ray source <without classification|yet to be identified>",
)
OPENING = (
    "We <request|ask for> {ks} ks of <Chandra|XMM-Newton> time <to study|on> {name}, {a_noun}"
    "{place}.",
    "We propose <to observe|a deeper look at> the {noun} {name}{place} with <ACIS-S|EPIC|ACIS-I>.",
    "{name}{place} is {a_noun} <that deserves|in need of> <a dedicated|a longer> X-ray <pointing|"
    "exposure>.",
    "<Our target|The target>, {name}, is {a_noun}{place}.",
    "<Here we propose|We apply for> {n} <visits to|exposures of> {a_noun}{place}, {name}.",
    "<With {ks} ks on|An exposure of {ks} ks on> {name}{place} we will <learn more "
    "about|investigate> {a_noun}.",
)
REDSHIFT = (
    "<It lies|The object is> at {z} <from|according to> <our own|published> spectroscopy.",
    "<A redshift|A secure redshift>, {z}, is <at hand|published>.",
)
PHOTOMETRIC = ("<Photometry|A fit to its colours> suggests {z}.", "<Its photo-z|The photo-z>: {z}.")
PLACES = {
    "galaxy": "<in|in the disk of|in the outskirts of> the galaxy {host}",
    "globular": "<in|inside> the <cluster|globular> {host}",
    "nursery": "<in|belonging to> the star-forming complex {host}",
    "plane": "<in|detected in> {host}",
    "survey": "<in|within> {host}",
    "cluster": "<at|identified with> {host}",
}
NEUTRAL_PLACE = "<towards|in the area of|on the sky near> {host}"
MODELS = {
    POWER_LAW: "<power law|simple power law|power law continuum>",
    BLACK_BODY: "<blackbody|black body|BB spectrum>",
    BREMSSTRAHLUNG: "<bremsstrahlung spectrum|hot bremsstrahlung model|TB model>",
    PLASMA: "<MEKAL plasma|vapec model|single-temperature plasma|thermal plasma model>",
    DISK: "<disk blackbody|multicolor disk|MCD model>",
}
FIT = (
    "<Existing data|The few archival photons|Earlier observations> <allow|are fitted by> {a_model}"
    "{shape}.",
    "<For the simulations|In our estimates> we <assume|adopt> {a_model}{shape}<, as seen before|>.",
    "<Swift XRT|An XMM-Newton slew|A short exposure> <suggested|pointed to> {a_model}{shape}.",
    "<The best guess|Our working model> <from|based on> <archival|public> data is "
    "{a_model}{shape}.",
    "<Previous papers|Earlier authors> <describe|described> the spectrum with {a_model}{shape}.",
)
SECOND = (
    "<There are hints|Residuals hint at the presence> of {a_model}{shape}<, too|>.",
    "<We add|The simulations include> {a_model}{shape} <as a second component|on top>.",
    "<On top of this|In addition>, {a_model}{shape} <may be|seems to be> <required|present>.",
)
SLOPE = ("<Its slope|The slope> is {word}.", "<That makes|This makes> the slope {word}.")
HEAT = ("<All points|Everything points> to {word}.", "<The fits|Published fits> mean {word}.")
HARD = (
    "<In archival images|On existing images> it is {word}.",
    "<Its colours are|The colour is> known: the source is {word}.",
)
LOW = ("<So far|In older data>, {word}.", "<With ACIS|Before contamination built up>, {word}.")
COLUMN = (
    "<The source|Our target> is {word}.",
    "<It is|It seems to be> {word}<, which the new data will quantify|>.",
)
COLUMN_ROUGH = (
    "<The column|Absorption> is <put at|estimated to be> {word}.",
    "<We take|The simulations take> a column of {word}.",
)
COLUMN_NUMBER = (
    "<We use|The estimate uses> {number}.",
    "<Absorption|The absorption> is <known|published>: {number}.",
    "<The best value|The literature value> is {number}.",
)
COLUMN_LIMIT = ("<Only a limit|So far only a limit>, {number}, is <available|known>.",)
FLUX = (
    "<The archival|The known> {band} flux is {number}.",
    "<At|With> {number} ({band}), it is <a feasible target|within easy reach>.",
    "<Catalogs|Catalogues> <list|give> {number} in the {band} band.",
)
LUMINOSITY = (
    "<At|With> {number}{distance} it is <worth|suited for> <detailed|deep> study.",
    "<Its output|Its power> is {number}{distance}.",
    "<It emits|The source emits> {number}{distance}.",
)
LOG_LUMINOSITY = ("<We know|Archival data give> {number}{distance}.",)
BRIGHT = ("<It is|The source is> {word}.", "<In short|For Chandra>, the target is {word}.")
COUNTS = (
    "<From|Scaling from> <the archival rate|PIMMS> we expect {counts}<| in a usual exposure>.",
    "<This|The exposure> <yields|will collect> {counts}.",
    "<Simulated|Our simulated> data sets <contain|hold> {counts}.",
)
GOAL = (
    "<We will|These data will let us> {goal}.",
    "<Our goal|The main aim> is to {goal}.",
    "<A further|Another> <aim|objective> is to {goal}.",
    "<The requested time|This program> <allows us to|makes it possible to> {goal}.",
)
PRECISION = (
    "<Simulations|Fake spectra> <show|demonstrate> that <spectral parameters|the free parameters> "
    "can be <constrained|recovered> to {n} per cent.",
    "<With such data|Then> <rival|competing> models <differ|can be told apart> at {n} sigma.",
    "<The exposure is set by the need for|We chose the exposure for> an error of {n} per cent on "
    "the <continuum|flux>.",
)
FEASIBILITY = (
    "<Only Chandra|Chandra alone> <resolves|separates> it from its <neighbours|surroundings>.",
    "<The large area|The throughput> of EPIC is <essential|needed> <for timing|here>.",
    "<No|There are no> <time|roll angle> constraints.",
    "<We request|We ask for> <a 1/{n} subarray|the standard frame time> <to avoid pile-up|because "
    "pile-up is no concern>.",
    "<NICER|NuSTAR> time <will be requested|has been granted> <in parallel|separately>.",
    "<The target is visible|Visibility is good> <for {n} months|twice a year>.",
    "<Splitting the observation|Splitting> into {n} <parts|segments> is acceptable.",
)
OTHER_WAVELENGTHS = (
    "<HST|JWST> <imaging|spectroscopy> of the <field|target> is <scheduled|in hand>.",
    "<We have|Our team has> <access to|time on> <the VLT|Keck|Magellan> for <follow-up|"
    "simultaneous spectra>.",
    "<At {ghz} GHz|In the radio> <the field was mapped|we have data> <with MeerKAT|with the VLA>.",
    "<No|So far no> <polarimetry|gamma-ray detection> <exists|is reported>.",
    "<Gaia|VLBI> will <improve|fix> the <position|reference frame>.",
    "<The infrared|A near-infrared> <light curve|spectrum> is <being taken|in preparation>.",
)
ENDING = (
    "<The data|These data> will <be a legacy|serve> <for years|for the community>.",
    "<This is part of|The proposal belongs to> <a PhD thesis|a larger program>.",
    "<We waive|The team waives> the proprietary <period|time>.",
    "<Without|Lacking> <new data|this observation>, <progress|an answer> is <unlikely|out of "
    "reach>.",
    "<A non-detection|Even a null result> would be <of interest|informative>.",
    "<Our group has|We have> <the tools|experience> <to analyse the data at once|from {n} similar "
    "programs>.",
    "<A similar|An earlier> program was <accepted|carried out> in cycle {n}.",
)

__all__ = [
    "BRIGHT",
    "COLUMN",
    "COLUMN_LIMIT",
    "COLUMN_NUMBER",
    "COLUMN_ROUGH",
    "COUNTS",
    "ENDING",
    "FEASIBILITY",
    "FIT",
    "FLUX",
    "GOAL",
    "HARD",
    "HEAT",
    "LOG_LUMINOSITY",
    "LOW",
    "LUMINOSITY",
    "MODELS",
    "NEUTRAL_PLACE",
    "OPENING",
    "OTHER_WAVELENGTHS",
    "PHOTOMETRIC",
    "PLACES",
    "PRECISION",
    "REDSHIFT",
    "SECOND",
    "SLOPE",
    "UNKNOWN",
]
