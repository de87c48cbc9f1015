"""The calls of the official notebook about automatic masks."""

import sys

import cv2
import numpy as np
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry  # noqa: F401

photo, sam_checkpoint, model_type, device = sys.argv[1:]
image = cv2.imread(photo)
image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

sam = sam_model_registry[model_type](checkpoint=sam_checkpoint)
sam.to(device=device)

mask_generator = SamAutomaticMaskGenerator(sam)
masks = mask_generator.generate(image)
count, keys = len(masks), list(masks[0].keys())
largest_first = sorted(masks, key=(lambda x: x["area"]), reverse=True)
overlay = np.ones((*largest_first[0]["segmentation"].shape, 4))
overlay[:, :, 3] = 0
for number, record in enumerate(largest_first):
    overlay[record["segmentation"]] = [0.2, 0.3, number / count, 0.35]

mask_generator_2 = SamAutomaticMaskGenerator(
    model=sam,
    points_per_side=16,
    pred_iou_thresh=0.86,
    stability_score_thresh=0.92,
    crop_n_layers=1,
    crop_n_points_downscale_factor=2,
    min_mask_region_area=100,  # needs OpenCV officially
)
masks2 = mask_generator_2.generate(image)
print(count, len(masks2), keys)
