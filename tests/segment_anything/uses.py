"""What public scripts do with the official package: the table of the guide, as code that runs with either package.

Each line is one use; `result`, where a line sets it, is compared. Known beforehand are `np`, `torch`, `json`, `image`
(h × w × 3), `sam`, `predictor` with the image set, `click` and `label`, `box`, `boxes` in the padded input, `generator`
and its `records`, and `registry`.
"""

USES = """
from segment_anything import sam_model_registry, SamPredictor, SamAutomaticMaskGenerator
from segment_anything import build_sam
from segment_anything import build_sam_vit_b, build_sam_vit_l, build_sam_vit_h
from segment_anything.build_sam import sam_model_registry
from segment_anything.predictor import SamPredictor
from segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam
from segment_anything.modeling import ImageEncoderViT, PromptEncoder, MaskDecoder, TwoWayTransformer
from segment_anything.utils.transforms import ResizeLongestSide
from segment_anything.utils.onnx import SamOnnxModel
from segment_anything.utils.amg import mask_to_rle_pytorch, rle_to_mask, batched_mask_to_box, remove_small_regions
assert {"vit_b", "vit_l", "vit_h", "default"} <= set(registry)
result = list(registry.keys())[:4]
registry["vit_b"]()
sam.to(device)
sam.to(device=device)
sam = sam.to(device).eval()
sam.eval()
sam.cuda
sam.float()
sam.half
result = str(sam.device)
result = [p.shape for p in sam.parameters()]
result = {name: sam.state_dict()[name] for name in sorted(sam.state_dict())}
sam.load_state_dict(sam.state_dict())
result = sam.mask_threshold
result = sam.image_format
result = (sam.pixel_mean, sam.pixel_std)
sam.image_encoder
result = sam.image_encoder.img_size
result = sam.image_encoder(torch.ones(1, 3, 128, 128)).detach()
sam.prompt_encoder
result = sam.prompt_encoder(points=(boxes.reshape(2, 2, 2), torch.ones(2, 2)), boxes=boxes, masks=None)[0].detach()
result = sam.prompt_encoder.get_dense_pe()
e = sam.prompt_encoder; result = (e.embed_dim, e.image_embedding_size, e.mask_input_size, e.input_image_size)
sam.mask_decoder
s, d = sam.prompt_encoder(None, boxes, None); result = sam.mask_decoder(predictor.features, dense_pe, s, d, True)[0].detach()
result = sam.preprocess(torch.ones(1, 3, 100, 128))
result = sam.postprocess_masks(torch.rand(1, 3, 32, 32, generator=seed), (90, 128), (60, 85))
result = sam([{"image": torch.ones(3, 90, 128), "original_size": (60, 85), "boxes": boxes}], multimask_output=False)
SamPredictor(sam_model=sam)
SamPredictor(sam.to(device))
predictor.set_image(image)
predictor.set_image(image, image_format="BGR"); result = predictor.features
predictor.set_image(image, "BGR")
predictor.set_torch_image(torch.ones(1, 3, 90, 128), (60, 85)); result = predictor.features
result = predictor.predict(click, label, box=None, multimask_output=False)
result = predictor.predict(box=torch.tensor([box])[0].numpy())
result = predictor.predict(box=np.array([box]))
result = predictor.predict(point_coords=np.array([[10.0, 20.0]]), point_labels=np.array([1.0]))
result = predictor.predict()
result = predictor.predict(point_coords=np.zeros((0, 2)), point_labels=np.zeros(0))
predictor.predict(point_coords=np.array([[10, 20], [50, 60]]), point_labels=np.array([2, 3]))
result = predictor.predict_torch(boxes.reshape(2, 2, 2), torch.ones(2, 2))
result = predictor.predict_torch(None, None, boxes)
predictor.transform
result = predictor.transform.apply_image(image)
result = predictor.transform.apply_coords(click, image.shape[:2])
result = predictor.transform.apply_boxes(np.array([box]), image.shape[:2])
result = predictor.transform.apply_boxes_torch(boxes, image.shape[:2])
result = predictor.transform.apply_coords_torch(boxes.reshape(2, 2, 2), image.shape[:2])
result = predictor.transform.target_length
result = str(predictor.device)
assert predictor.model is sam
result = predictor.model.image_encoder.img_size
result = predictor.model.mask_threshold
predictor.features
result = tuple(predictor.features.shape)
saved = predictor.features; predictor.reset_image(); predictor.features = saved
result = predictor.original_size
predictor.original_size = image.shape[:2]
result = predictor.input_size
predictor.input_size = (83, 128)
result = predictor.is_image_set
predictor.is_image_set = True
predictor.reset_image(); result = (predictor.orig_h, predictor.input_h)
predictor.reset_image(); result = predictor.is_image_set
result = tuple(predictor.get_image_embedding().shape)
result = predictor.get_image_embedding().cpu().numpy()
result = np.asarray(predictor.get_image_embedding())
SamAutomaticMaskGenerator(sam, 4, 64, 0.5, 0.5, 1.0, 0.7, 0, 0.7, 0.34, 1, None, 0, "binary_mask")
result = SamAutomaticMaskGenerator(sam, points_per_side=None, point_grids=[np.array([[0.3, 0.4]])]).generate(image)
result = [SamAutomaticMaskGenerator(sam, 2, output_mode=m).generate(image) for m in ("coco_rle", "uncompressed_rle")]
generator.predictor
assert generator.predictor.model is sam
g = generator; result = (g.points_per_batch, g.pred_iou_thresh, g.stability_score_thresh, g.stability_score_offset, g.box_nms_thresh, g.crop_n_layers, g.crop_nms_thresh, g.crop_overlap_ratio, g.min_mask_region_area, g.output_mode)
result = generator.crop_n_points_downscale_factor
generator.pred_iou_thresh = 0.9; result = generator.generate(image)
result = list(generator.postprocess_small_regions(generator._generate_masks(image), 50, 0.7)["rles"])
generator._process_crop(image, [0, 0, 85, 60], 0, (60, 85))["boxes"]; generator._process_batch; generator._generate_masks
result = [(list(record), record["area"], record["bbox"], record["segmentation"][10:, 20]) for record in records]
records[0]["segmentation"][:5] = True; result = records[0]["segmentation"].astype(np.uint8)
result = json.dumps([r["bbox"] for r in SamAutomaticMaskGenerator(sam, 2, output_mode="coco_rle").generate(image)])
from pycocotools import mask; result = [mask.decode(r["segmentation"]) for r in SamAutomaticMaskGenerator(sam, 2, output_mode="coco_rle").generate(image)]
class MyPredictor(SamPredictor): pass
""".strip().splitlines()  # noqa: E501
