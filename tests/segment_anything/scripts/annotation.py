"""An annotation tool: embeddings of several photos are kept and put back, clicks refine the mask of before."""

import sys

import cv2
import numpy as np
from segment_anything import sam_model_registry
from segment_anything.predictor import SamPredictor

photo, checkpoint, model_type, device = sys.argv[1:]


class CachingPredictor(SamPredictor):
    """A predictor that remembers what it saw."""

    def __init__(self, sam_model):
        super().__init__(sam_model)
        self.seen = {}

    def open(self, name, image):
        if name in self.seen:
            self.reset_image()
            self.features, self.original_size, self.input_size = self.seen[name]
            self.is_image_set = True
        else:
            self.set_image(image, image_format="BGR")
            self.seen[name] = self.features, self.original_size, self.input_size


image = cv2.imread(photo)
photos = {"whole": image, "part": image[: image.shape[0] // 2]}
predictor = CachingPredictor(sam_model_registry[model_type](checkpoint).to(device=device).eval())
embedding_shapes, answers = {}, []
for name in ("whole", "part", "whole"):
    predictor.open(name, photos[name])
    embedding_shapes[name] = predictor.get_image_embedding().detach().cpu().numpy().shape
    clicks, labels, low = [], [], None
    for click, label in (((40, 30), 1), ((70, 20), 0), ((30, 40), 1)):
        clicks.append(click)
        labels.append(label)
        masks, scores, low = predictor.predict(
            np.array(clicks, dtype=np.float32),
            np.array(labels),
            mask_input=low,
            multimask_output=False,
        )
    answers.append((masks, scores, low))
nothing_asked = predictor.predict()
no_click = predictor.predict(np.zeros((0, 2)), np.zeros(0), box=None)
sizes = [predictor.original_size, predictor.input_size, predictor.is_image_set]
predictor.reset_image()
forgotten = [predictor.is_image_set, predictor.features, predictor.orig_h, predictor.input_h]
