"""Instance segmentation from boxes (§7.4).

    python -m experiments.zero_shot.instances data/coco_tiny/instances.json --output runs/instances

`sam-jax evaluate instances` as it is, here with the boxes of the truth; `--boxes` takes a detector's results. The
paper's ViT-H with ViTDet-H's boxes: AP 46.5 on COCO, 44.7 on LVIS v1.
"""

import tyro

from sam_jax.cli.evaluate import Instances

if __name__ == "__main__":
    tyro.cli(Instances).run()
