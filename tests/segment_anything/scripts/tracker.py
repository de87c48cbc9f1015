"""A tracker: boxes of the last frame's masks and its low-resolution logits are the prompts of the next one."""

import sys

import cv2
import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

photo, checkpoint, model_type, device = sys.argv[1:]
image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
frames = [np.roll(image, 3 * step, axis=1) for step in range(3)]
sam = sam_model_registry[model_type](checkpoint=checkpoint)
sam.to(torch.device(device))
generator = SamAutomaticMaskGenerator(
    sam, points_per_side=4, stability_score_thresh=0.3, box_nms_thresh=0.95
)
found = generator.generate(frames[0])
assert generator.predictor.model is sam
objects = [torch.as_tensor(record["segmentation"]) for record in found[:3]]
boxes, low = batched_mask_to_box(torch.stack(objects)), None

predictor, track = SamPredictor(sam), []
for frame in frames:
    resized = torch.as_tensor(predictor.transform.apply_image(frame), device=predictor.device)
    predictor.set_torch_image(resized.permute(2, 0, 1)[None], frame.shape[:2])
    logits, scores, low = predictor.predict_torch(
        None,
        None,
        boxes=predictor.transform.apply_boxes_torch(boxes, frame.shape[:2]),
        mask_input=low,
        multimask_output=False,
        return_logits=True,
    )
    stability = calculate_stability_score(logits[:, 0], sam.mask_threshold, 1.0)
    masks = logits[:, 0] > sam.mask_threshold
    boxes = batched_mask_to_box(masks)
    track.append((masks, scores, stability, boxes))
