"""What the shipped small model has beyond Segment Anything, made of Segment Anything's modules.

Four additions: high-resolution features that pass the transformer by (`details`), maps of the distance from the clicks
(`click_maps`), maps of the distance along the image over learned costs (`geodesics`), and a look at the masks before
their IoU is predicted (`mask_scoring`). `image_encoder`, `mask_decoder` and `sam` put them into the three parts of the
model.
"""
