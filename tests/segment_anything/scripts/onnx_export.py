"""The official scripts/export_onnx_model.py and the notebook that goes with it: export, then run in onnxruntime."""

import sys
import warnings

import cv2
import numpy as np
import onnxruntime
import torch
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.utils.onnx import SamOnnxModel

photo, checkpoint, model_type, device = sys.argv[1:]
image = cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
sam = sam_model_registry[model_type](checkpoint=checkpoint)
onnx_model = SamOnnxModel(sam, return_single_mask=True)
embed_size = sam.prompt_encoder.image_embedding_size
mask_input_size = [4 * x for x in embed_size]
dummy_inputs = {
    "image_embeddings": torch.ones(1, sam.prompt_encoder.embed_dim, *embed_size),
    "point_coords": torch.tensor([[[30.0, 40.0], [90.0, 10.0], [1.0, 2.0], [50.0, 60.0]]]),
    "point_labels": torch.tensor([[1.0, 0.0, -1.0, 1.0]]),
    "mask_input": torch.ones(1, 1, *mask_input_size),
    "has_mask_input": torch.tensor([1.0]),
    "orig_im_size": torch.tensor([90.0, 130.0]),
}
eager = onnx_model(**dummy_inputs)
metrics = SamOnnxModel(sam, False, use_stability_score=True, return_extra_metrics=True)
large_masks, stability, large_stability, areas, all_low = metrics(**dummy_inputs)
shares = areas / large_masks[0, 0].numel()
del areas
with warnings.catch_warnings():
    warnings.filterwarnings("ignore")
    with open("decoder.onnx", "wb") as f:
        torch.onnx.export(
            onnx_model,
            tuple(dummy_inputs.values()),
            f,
            export_params=True,
            verbose=False,
            opset_version=17,
            do_constant_folding=True,
            input_names=list(dummy_inputs.keys()),
            output_names=["masks", "iou_predictions", "low_res_masks"],
            dynamic_axes={"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}},
            dynamo=False,
        )

session = onnxruntime.InferenceSession("decoder.onnx", providers=["CPUExecutionProvider"])
predictor = SamPredictor(sam)
predictor.set_image(image)
image_embedding = predictor.get_image_embedding().cpu().numpy()
onnx_coord = np.concatenate([np.array([[60, 40]]), np.array([[0.0, 0.0]])], axis=0)[None]
onnx_label = np.concatenate([np.array([1]), np.array([-1])], axis=0)[None].astype(np.float32)
onnx_coord = predictor.transform.apply_coords(onnx_coord, image.shape[:2]).astype(np.float32)
ort_inputs = {
    "image_embeddings": image_embedding,
    "point_coords": onnx_coord,
    "point_labels": onnx_label,
    "mask_input": np.zeros((1, 1, *mask_input_size), dtype=np.float32),
    "has_mask_input": np.zeros(1, dtype=np.float32),
    "orig_im_size": np.array(image.shape[:2], dtype=np.float32),
}
masks, _, low_res_logits = session.run(None, ort_inputs)
masks = masks > predictor.model.mask_threshold
