"""The calls at the end of the official notebook about prompts: several images at once."""

import sys

import cv2
import torch
from segment_anything import sam_model_registry
from segment_anything.utils.transforms import ResizeLongestSide

photo, sam_checkpoint, model_type, device = sys.argv[1:]
image = cv2.imread(photo)
image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
height, width = image.shape[:2]

sam = sam_model_registry[model_type](checkpoint=sam_checkpoint)
sam.to(device=device)

input_boxes = torch.tensor(
    [
        [width // 8, height // 6, width // 2, height * 2 // 3],
        [0, 0, width - 1, height - 1],
        [width // 2, height // 2, width - 3, height - 5],
    ],
    device=sam.device,
)
other = image[: height // 2, ::-1].copy()
resize_transform = ResizeLongestSide(sam.image_encoder.img_size)


def prepare_image(image, transform, device):
    image = transform.apply_image(image)
    image = torch.as_tensor(image, device=device.device)
    return image.permute(2, 0, 1).contiguous()


batched_input = [
    {
        "image": prepare_image(image, resize_transform, sam),
        "boxes": resize_transform.apply_boxes_torch(input_boxes, image.shape[:2]),
        "original_size": image.shape[:2],
    },
    {
        "image": prepare_image(other, resize_transform, sam),
        "boxes": resize_transform.apply_boxes_torch(input_boxes[:2] // 2, other.shape[:2]),
        "original_size": other.shape[:2],
    },
]
batched_output = sam(batched_input, multimask_output=False)
keys = list(batched_output[0].keys())
print(keys)
