"""Everything in a photo as annotations of a COCO file, and back, with what is around the generator."""

import json
import sys

import cv2
import torch
from pycocotools import mask as mask_utils
from segment_anything import sam_model_registry
from segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator
from segment_anything.utils import amg

photo, checkpoint, model_type, device = sys.argv[1:]
image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
sam = sam_model_registry[model_type](checkpoint=checkpoint).to(device=device)


class Annotator(SamAutomaticMaskGenerator):
    """A generator that keeps what lies between its steps."""

    def annotate(self, image):
        data = self._generate_masks(image)
        self.before = [dict(rle) for rle in data["rles"]]
        return self.postprocess_small_regions(data, 60, 0.7)


settings = {"points_per_side": 5, "stability_score_thresh": 0.3, "box_nms_thresh": 0.95}
generator = SamAutomaticMaskGenerator(sam, **settings, output_mode="coco_rle")
generator.pred_iou_thresh = 0.5
records = generator.generate(image)
annotations = [
    {"id": n, "segmentation": r["segmentation"], "bbox": r["bbox"]} for n, r in enumerate(records)
]
annotations = json.loads(json.dumps(annotations))
decoded = [mask_utils.decode(record["segmentation"]) for record in records]

annotator = Annotator(sam, **settings)
cleaned = annotator.annotate(image)
cleaned_boxes, cleaned_scores = cleaned["boxes"], cleaned["iou_preds"]
before = annotator.before
thresholds = [
    annotator.points_per_batch,
    annotator.stability_score_offset,
    annotator.box_nms_thresh,
    annotator.crop_n_points_downscale_factor,
    annotator.point_grids[0],
]

runs = SamAutomaticMaskGenerator(
    sam,
    None,
    64,
    0.5,
    0.5,
    point_grids=amg.build_all_layer_point_grids(3, 0, 1),
    output_mode="uncompressed_rle",
).generate(image)
first = torch.as_tensor(amg.rle_to_mask(runs[0]["segmentation"]))
written_again = amg.mask_to_rle_pytorch(first[None])
area = amg.area_from_rle(written_again[0])
