"""The paper's zero-shot experiments (SAM, section 7), each callable in a few lines: see `evaluate_points`."""

from sam_jax.evaluation.coco_truth import read_truth
from sam_jax.evaluation.edges.detection import EdgeConfig
from sam_jax.evaluation.edges.experiment import edge_methods, evaluate_edges, open_edge_data
from sam_jax.evaluation.experiment import DataSet, Method
from sam_jax.evaluation.instances.box_masks import InstanceConfig
from sam_jax.evaluation.instances.detections import read_detections, truth_detections
from sam_jax.evaluation.instances.experiment import evaluate_instances, instance_method
from sam_jax.evaluation.points.experiment import evaluate_points
from sam_jax.evaluation.points.segmenters import point_methods
from sam_jax.evaluation.points.sessions import PointsConfig
from sam_jax.evaluation.proposals.experiment import evaluate_proposals
from sam_jax.evaluation.proposals.proposers import ProposalConfig, proposal_methods
from sam_jax.evaluation.report import Findings
from sam_jax.evaluation.splits import Split, open_split, open_splits

__all__ = [
    "DataSet",
    "EdgeConfig",
    "Findings",
    "InstanceConfig",
    "Method",
    "PointsConfig",
    "ProposalConfig",
    "Split",
    "edge_methods",
    "evaluate_edges",
    "evaluate_instances",
    "evaluate_points",
    "evaluate_proposals",
    "instance_method",
    "open_edge_data",
    "open_split",
    "open_splits",
    "point_methods",
    "proposal_methods",
    "read_detections",
    "read_truth",
    "truth_detections",
]
