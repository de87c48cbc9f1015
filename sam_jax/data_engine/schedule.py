"""When the model is trained anew, and with which image encoder: the paper's rounds, spread over any number of photos.

Source: [Segment Anything](https://arxiv.org/abs/2304.02643), section 4: six rounds in the first stage, in which the
encoder grows from ViT-B to ViT-H, and five in the second. At which photos the rounds came, and when the encoder grew,
it does not say; here they come at equal distances, and each size has as many rounds as the next.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from sam_jax.data_engine.schema import Stage
from sam_jax.types import InputError

Encoder = Literal["vit_b", "vit_l", "vit_h"]


class Round(NamedTuple):
    """One retraining.

    Attributes:
        number: Number of the round, from 1 on.
        stage: Stage of the data engine.
        photos: Number of photos with masks of people from which the round is due.
        encoder: Image encoder of the version that it makes.
    """

    number: int
    stage: Stage
    photos: int
    encoder: Encoder


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Rounds of retraining.

    Attributes:
        photos: Number of photos that people mask in both stages: 300 000 in the paper.
        first_share: Share of those photos that the first stage has: 120 000 in the paper.
        first_stage: Image encoder of each round of the assisted-manual stage.
        second_stage: Image encoder of each round of the semi-automatic stage.

    Raises:
        InputError: A number is out of its range.
    """

    photos: int = 300_000
    first_share: float = 0.4
    first_stage: tuple[Encoder, ...] = ("vit_b", "vit_b", "vit_l", "vit_l", "vit_h", "vit_h")
    second_stage: tuple[Encoder, ...] = ("vit_h",) * 5

    def __post_init__(self) -> None:
        if self.photos < 1:
            raise InputError(f"a schedule has 1 photo at least, not {self.photos}")
        if not 0 <= self.first_share <= 1:
            raise InputError(f"first_share is from 0 to 1, not {self.first_share}")

    def list_rounds(self) -> list[Round]:
        """All rounds, in their order."""
        first = round(self.photos * self.first_share)
        parts = (
            (Stage.ASSISTED_MANUAL, 0, first, self.first_stage),
            (Stage.SEMI_AUTOMATIC, first, self.photos - first, self.second_stage),
        )
        found: list[Round] = []
        for stage, before, photos, encoders in parts:
            for index, encoder in enumerate(encoders, start=1):
                due = before + max(1, round(photos * index / len(encoders)))
                found.append(Round(len(found) + 1, stage, due, encoder))
        return found

    def find_next(self, versions: int) -> Round | None:
        """The round that follows.

        Args:
            versions: Number of versions that were trained.

        Returns:
            The round; None after the last.
        """
        rounds = self.list_rounds()
        return rounds[versions] if versions < len(rounds) else None


PAPER = ScheduleConfig()
