"""The 23 data sets of the paper's point experiment (SAM, section 7.1; appendix D.1, table 7)."""

from typing import NamedTuple

from sam_jax.evaluation.tables import Table


class PaperDataset(NamedTuple):
    """One of the data sets.

    Where a data set has over 15,000 masks, the authors drew images at random until they had about 10,000 masks; they
    did not publish which ones.

    Attributes:
        name: Name of the data set, as the paper abbreviates it.
        domain: What the images show.
        split: The part that was used.
        images: Number of images that were used.
        masks: Number of masks in these images.
        home: Web address to get the data set from.
    """

    name: str
    domain: str
    split: str
    images: int
    masks: int
    home: str


PAPER_DATASETS = tuple(
    PaperDataset(*row)
    for row in (
        (
            "ADE20K",
            "scenes, objects and their parts",
            "validation",
            302,
            10_128,
            "https://groups.csail.mit.edu/vision/datasets/ADE20K/",
        ),
        (
            "BBBC038v1",
            "microscopy, nuclei",
            "train",
            227,
            10_506,
            "https://bbbc.broadinstitute.org/BBBC038",
        ),
        (
            "Cityscapes",
            "driving",
            "validation (panoptic)",
            293,
            9_973,
            "https://www.cityscapes-dataset.com/",
        ),
        (
            "DOORS",
            "boulders, rendered",
            "DS1",
            10_000,
            10_000,
            "https://zenodo.org/record/7107409",
        ),
        (
            "DRAM",
            "paintings",
            "test (semantic)",
            718,
            1_179,
            "https://faculty.runi.ac.il/arik/site/artseg/Dram-Dataset.html",
        ),
        (
            "EgoHOS",
            "egocentric, hands and objects",
            "train, of it Ego4D and THU-READ",
            2_940,
            9_961,
            "https://github.com/owenzlz/EgoHOS",
        ),
        (
            "GTEA",
            "egocentric, hands",
            "train of the hand segmentation task",
            652,
            1_208,
            "https://cbs.ic.gatech.edu/fpv/",
        ),
        (
            "Hypersim",
            "indoor scenes, rendered",
            "Evermotion archinteriors volumes 1 to 55 but 20, 25, 40, 49",
            338,
            9_445,
            "https://github.com/apple/ml-hypersim",
        ),
        (
            "IBD",
            "drone images, roofs (InstanceBuilding 2D)",
            "train of the 2D annotations",
            467,
            11_953,
            "https://californiachen.github.io/datasets/InstanceBuilding",
        ),
        (
            "iShape",
            "irregular shapes: antennas, logs, fences, hangers",
            "validation",
            754,
            9_742,
            "https://ishape.github.io/",
        ),
        (
            "LVIS",
            "scenes, many kinds of objects",
            "validation of version 0.5",
            945,
            9_642,
            "https://www.lvisdataset.org/",
        ),
        (
            "NDD20",
            "dolphins above and under water",
            "all",
            4_402,
            6_100,
            "https://doi.org/10.25405/data.ncl.c.4982342",
        ),
        (
            "NDISPark",
            "parking lots by day and night",
            "train",
            111,
            2_577,
            "https://zenodo.org/record/6560823",
        ),
        (
            "OVIS",
            "video of objects that hide each other",
            "train",
            2_044,
            10_011,
            "http://songbai.site/ovis/",
        ),
        (
            "PIDRay",
            "X-ray images of baggage",
            "test (hard)",
            3_733,
            8_892,
            "https://github.com/bywang2018/security-dataset",
        ),
        (
            "Plittersdorf",
            "stereo camera trap, wildlife",
            "train, validation and test",
            187,
            546,
            "https://timm.haucke.xyz/datasets/plittersdorf",
        ),
        (
            "PPDLS",
            "plants, leaves",
            "all",
            182,
            2_347,
            "https://www.plant-phenotyping.org/datasets-home",
        ),
        (
            "STREETS",
            "traffic cameras, cars",
            "all",
            819,
            9_854,
            "https://databank.illinois.edu/datasets/IDB-3671567",
        ),
        (
            "TimberSeg",
            "piles of logs",
            "all (version 1.0)",
            220,
            2_487,
            "https://data.mendeley.com/datasets/y5npsm3gkj",
        ),
        (
            "TrashCan",
            "under water, trash",
            "train of the instance task",
            5_936,
            9_540,
            "https://conservancy.umn.edu/handle/11299/214865",
        ),
        (
            "VISOR",
            "egocentric, hands and objects in kitchens",
            "validation",
            1_864,
            10_141,
            "https://epic-kitchens.github.io/VISOR/",
        ),
        (
            "WoodScape",
            "driving through fisheye lenses",
            "set 1",
            107,
            10_266,
            "https://woodscape.valeo.com/home",
        ),
        (
            "ZeroWaste-f",
            "waste to be recycled",
            "train",
            2_947,
            6_155,
            "http://ai.bu.edu/zerowaste/",
        ),
    )
)


def tabulate_datasets() -> Table:
    """The paper's data sets as a table to print."""
    return Table(
        "Data sets of the point experiment (SAM, table 7)", PaperDataset._fields, PAPER_DATASETS
    )
