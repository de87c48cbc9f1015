"""A fine-tuning loop around a frozen encoder: the decoder is trained by PyTorch, boxes are the prompts."""

import sys

import cv2
import numpy as np
import torch
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.utils.transforms import ResizeLongestSide
from torch import nn

photo, checkpoint, model_type, device = sys.argv[1:]
image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
size = image.shape[:2]
truth = torch.zeros(1, 1, *size)
truth[..., 10:60, 20:90] = 1
box = np.array([20, 10, 90, 60])


class Tuned(nn.Module):
    """The parts of the model in a module of the script's own."""

    def __init__(self, image_encoder, mask_decoder, prompt_encoder):
        super().__init__()
        self.image_encoder = image_encoder
        self.mask_decoder = mask_decoder
        self.prompt_encoder = prompt_encoder
        for part in (self.image_encoder, self.prompt_encoder):
            for parameter in part.parameters():
                parameter.requires_grad = False

    def forward(self, embedding, boxes):
        with torch.no_grad():
            sparse, dense = self.prompt_encoder(points=None, boxes=boxes, masks=None)
        return self.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )


sam = sam_model_registry[model_type](checkpoint=checkpoint).to(device)
sam.train()
tuned = Tuned(sam.image_encoder, sam.mask_decoder, sam.prompt_encoder)
trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
number_of_trained = sum(parameter.numel() for parameter in trained)
number_of_all = sum(parameter.numel() for parameter in sam.parameters())
optimiser = torch.optim.SGD(sam.mask_decoder.parameters(), lr=1e-3, momentum=0.9)

transform = ResizeLongestSide(sam.image_encoder.img_size)
resized = torch.as_tensor(transform.apply_image(image), device=sam.device)
resized = resized.permute(2, 0, 1).contiguous()[None]
boxes = torch.as_tensor(transform.apply_boxes(box, size), dtype=torch.float, device=sam.device)
with torch.no_grad():
    embedding = sam.image_encoder(sam.preprocess(resized))

losses = []
for _ in range(3):
    low, iou = tuned(embedding, boxes)
    logits = sam.postprocess_masks(low, tuple(resized.shape[-2:]), size)
    loss = (
        nn.functional.binary_cross_entropy_with_logits(1e-4 * logits, truth) + iou.square().mean()
    )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
names = sorted(tuned.state_dict())

sam.eval()
predictor = SamPredictor(sam)
predictor.set_image(image)
masks, scores, low_after = predictor.predict(box=box, multimask_output=False)
