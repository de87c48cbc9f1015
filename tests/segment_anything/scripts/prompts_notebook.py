"""The calls of the official notebook about prompts: clicks, boxes, batches."""

import sys

import cv2
import numpy as np
import torch
from segment_anything import SamPredictor, sam_model_registry

photo, sam_checkpoint, model_type, device = sys.argv[1:]
image = cv2.imread(photo)
image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
height, width = image.shape[:2]

sam = sam_model_registry[model_type](checkpoint=sam_checkpoint)
sam.to(device=device)
predictor = SamPredictor(sam)
predictor.set_image(image)

input_point = np.array([[width // 2, height // 3]])
input_label = np.array([1])
masks, scores, logits = predictor.predict(
    point_coords=input_point,
    point_labels=input_label,
    multimask_output=True,
)
first_shape = masks.shape

input_point = np.array([[width // 2, height // 3], [width // 3, height // 2]])
input_label = np.array([1, 1])
mask_input = logits[np.argmax(scores), :, :]
masks_of_two, _, _ = predictor.predict(
    point_coords=input_point,
    point_labels=input_label,
    mask_input=mask_input[None, :, :],
    multimask_output=False,
)
masks_of_opposites, _, _ = predictor.predict(
    point_coords=input_point,
    point_labels=np.array([1, 0]),
    mask_input=mask_input[None, :, :],
    multimask_output=False,
)

input_box = np.array([width // 8, height // 6, width // 2, height * 2 // 3])
masks_of_box, scores_of_box, _ = predictor.predict(
    point_coords=None,
    point_labels=None,
    box=input_box[None, :],
    multimask_output=False,
)
masks_of_both, _, _ = predictor.predict(
    point_coords=input_point[:1],
    point_labels=np.array([0]),
    box=input_box,
    multimask_output=False,
)

input_boxes = torch.tensor(
    [
        [width // 8, height // 6, width // 2, height * 2 // 3],
        [0, 0, width - 1, height - 1],
        [width // 2, height // 2, width - 3, height - 5],
    ],
    device=predictor.device,
)
transformed_boxes = predictor.transform.apply_boxes_torch(input_boxes, image.shape[:2])
masks_of_boxes, scores_of_boxes, low_of_boxes = predictor.predict_torch(
    point_coords=None,
    point_labels=None,
    boxes=transformed_boxes,
    multimask_output=False,
)
shown = [mask.cpu().numpy() for mask in masks_of_boxes]
print(first_shape, masks_of_boxes.shape)
