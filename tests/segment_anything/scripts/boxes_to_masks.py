"""A pipeline from a detector's boxes to masks, and from clicks in the padded input, through the parts of the model."""

import sys

import cv2
import numpy as np
import torch
from segment_anything import SamPredictor, sam_model_registry

photo, checkpoint, model_type, device = sys.argv[1:]
image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
height, width = image.shape[:2]
draw = np.random.default_rng(0)
corners = draw.uniform(0, 1, (65, 2, 2)) * [width, height]
detections = torch.as_tensor(np.concatenate([corners.min(1), corners.max(1)], axis=1))

sam = sam_model_registry[model_type](checkpoint=checkpoint).to(device=device)
predictor = SamPredictor(sam)
predictor.set_image(image)
transform = predictor.transform
boxes = transform.apply_boxes_torch(detections, (height, width)).to(predictor.device)
masks, scores, low = predictor.predict_torch(
    point_coords=None, point_labels=None, boxes=boxes, multimask_output=False
)
areas = masks.flatten(1).sum(1)

points = transform.apply_coords_torch(detections[:5].reshape(5, 2, 2), (height, width))
labels = torch.ones(5, 2, dtype=torch.int)
labels[:, 1] = 0
earlier = draw.normal(0, 5, (5, 1, *sam.prompt_encoder.mask_input_size)).astype(np.float32)
earlier = torch.as_tensor(earlier, device=sam.device)
with torch.no_grad():
    sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=boxes[:5], masks=earlier)
    bare, _ = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
    dense_pe = predictor.model.prompt_encoder.get_dense_pe()
    low_again, scores_again = sam.mask_decoder(
        image_embeddings=predictor.get_image_embedding(),
        image_pe=dense_pe,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
    upscaled = sam.postprocess_masks(low_again, predictor.input_size, predictor.original_size)
encoder = sam.prompt_encoder
sizes = [
    encoder.embed_dim,
    encoder.image_embedding_size,
    encoder.input_image_size,
    encoder.mask_input_size,
    sam.image_encoder.img_size,
    transform.target_length,
    transform.get_preprocess_shape(height, width, 100),
    sam.mask_decoder.num_mask_tokens,
    (sam.mask_threshold, sam.image_format, str(sam.device), str(predictor.device)),
]
colours = (sam.pixel_mean, sam.pixel_std)
